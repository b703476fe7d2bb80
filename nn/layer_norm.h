// Layer normalisation over the last axis, as torch.nn.LayerNorm.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/norm/layer_norm.h>

#include <source_location>
#include <string>

namespace weft::nn {

struct LayerNormConfig {
  std::int64_t width = 0;
  bool bias = true;
  double eps = 1e-5;
  DType dtype = f32;
};

/// Parameters NAME/weight [width], ones at first, and NAME/bias [width], zeros.
struct LayerNorm {
  std::string name;
  double eps = 1e-5;
  Value weight, bias;  ///< bias: absent if not configured

  LayerNorm() = default;
  LayerNorm(Graph graph, std::string path, const LayerNormConfig& config,
            std::source_location where = std::source_location::current());

  Value operator()(const Arg& x) const;
};

}  // namespace weft::nn
