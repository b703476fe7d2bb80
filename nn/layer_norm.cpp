#include <weft/nn/layer_norm.h>

namespace weft::nn {

LayerNorm::LayerNorm(Graph graph, std::string path, const LayerNormConfig& config, std::source_location where)
    : name(std::move(path)), eps(config.eps) {
  WEFT_CHECK(config.width > 0, "LayerNorm '{}' ({}) needs a positive width, got {}", name, str(where), config.width);
  const auto scope = graph.scope(name, where);
  weight = graph.parameter("weight", {config.dtype, {config.width}}, init::ones());
  if (config.bias) bias = graph.parameter("bias", {config.dtype, {config.width}}, init::zeros());
}

Value LayerNorm::operator()(const Arg& x) const {
  const auto scope = weight.graph().scope(name, x.where());
  return layer_norm(x, weight, bias, {.eps = eps});
}

}  // namespace weft::nn
