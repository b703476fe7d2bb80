#include <weft/nn/embedding.h>

namespace weft::nn {

Embedding::Embedding(Graph graph, std::string path, const EmbeddingConfig& config, std::source_location where)
    : name(std::move(path)), padding_index(config.padding_index) {
  WEFT_CHECK(config.count > 0 && config.width > 0,
             "Embedding '{}' ({}) needs positive sizes, got count {} and width {}", name, str(where), config.count,
             config.width);
  const auto scope = graph.scope(name, where);
  weight = graph.parameter("weight", {config.dtype, {config.count, config.width}}, config.init);
}

Value Embedding::operator()(const Arg& ids) const {
  const auto scope = weight.graph().scope(name, ids.where());
  return embedding(weight, ids, {.padding_index = padding_index});
}

}  // namespace weft::nn
