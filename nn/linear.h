// y = x weight^T + bias, as torch.nn.Linear.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/product/matmul.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct LinearConfig {
  std::int64_t in = 0, out = 0;
  bool bias = true;
  DType dtype = f32;
  std::optional<Initializer> init = {};  ///< of the weight; uniform in +-1 / sqrt(in), as PyTorch's, if not given
};

/// Parameters NAME/weight [out, in] and NAME/bias [out], which starts at zero.
struct Linear {
  std::string name;
  Value weight, bias;  ///< bias: absent if not configured

  Linear() = default;
  Linear(Graph graph, std::string path, const LinearConfig& config,
         std::source_location where = std::source_location::current());

  /// x [.., in] -> [.., out]
  Value operator()(const Arg& x) const;
};

}  // namespace weft::nn
