// y = x weight^T + bias, as torch.nn.Linear.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/matmul.h>

#include <cmath>
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
  Value weight, bias;  ///< bias is absent without

  Linear() = default;
  Linear(Graph graph, std::string path, const LinearConfig& config,
         std::source_location where = std::source_location::current())
      : name(std::move(path)) {
    WEFT_CHECK(config.in > 0 && config.out > 0, "Linear '{}' ({}) needs positive sizes, got in {} and out {}", name,
               str(where), config.in, config.out);
    const auto scope = graph.scope(name, where);
    const double bound = 1 / std::sqrt(static_cast<double>(config.in));
    weight = graph.parameter("weight", {config.dtype, {config.out, config.in}},
                             config.init.value_or(init::uniform(-bound, bound)));
    if (config.bias) bias = graph.parameter("bias", {config.dtype, {config.out}}, init::zeros());
  }

  /// x [.., in] -> [.., out]
  Value operator()(const Arg& x) const {
    const auto scope = weight.graph().scope(name, x.where());
    return linear(x, weight, bias);
  }
};

}  // namespace weft::nn
