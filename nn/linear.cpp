#include <weft/nn/linear.h>

#include <cmath>

namespace weft::nn {

Linear::Linear(Graph graph, std::string path, const LinearConfig& config, std::source_location where)
    : name(std::move(path)) {
  WEFT_CHECK(config.in > 0 && config.out > 0, "Linear '{}' ({}) needs positive sizes, got in {} and out {}", name,
             str(where), config.in, config.out);
  const auto scope = graph.scope(name, where);
  const double bound = 1 / std::sqrt(static_cast<double>(config.in));
  weight = graph.parameter("weight", {config.dtype, {config.out, config.in}},
                           config.init.value_or(init::uniform(-bound, bound)));
  if (config.bias) bias = graph.parameter("bias", {config.dtype, {config.out}}, init::zeros());
}

Value Linear::operator()(const Arg& x) const {
  const auto scope = weight.graph().scope(name, x.where());
  return linear(x, weight, bias);
}

}  // namespace weft::nn
