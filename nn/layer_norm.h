// Layer normalisation over the last axis, as torch.nn.LayerNorm.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/layer_norm.h>

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
  Value weight, bias;  ///< bias is absent without

  LayerNorm() = default;
  LayerNorm(Graph graph, std::string path, const LayerNormConfig& config,
            std::source_location where = std::source_location::current())
      : name(std::move(path)), eps(config.eps) {
    WEFT_CHECK(config.width > 0, "LayerNorm '{}' ({}) needs a positive width, got {}", name, str(where), config.width);
    const auto scope = graph.scope(name, where);
    weight = graph.parameter("weight", {config.dtype, {config.width}}, init::ones());
    if (config.bias) bias = graph.parameter("bias", {config.dtype, {config.width}}, init::zeros());
  }

  Value operator()(const Arg& x) const {
    const auto scope = weight.graph().scope(name, x.where());
    return layer_norm(x, weight, bias, {.eps = eps});
  }
};

}  // namespace weft::nn
