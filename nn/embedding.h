// An embedding table, as torch.nn.Embedding.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/index/embedding.h>

#include <optional>
#include <source_location>
#include <string>

namespace weft::nn {

struct EmbeddingConfig {
  std::int64_t count = 0, width = 0;
  DType dtype = f32;
  Initializer init = init::normal(0, 1);
  std::optional<std::int64_t> padding_index = {};  ///< its row gets no gradient
};

/// Parameter NAME/weight [count, width].
struct Embedding {
  std::string name;
  std::optional<std::int64_t> padding_index;
  Value weight;

  Embedding() = default;
  Embedding(Graph graph, std::string path, const EmbeddingConfig& config,
            std::source_location where = std::source_location::current());

  /// ids [..] -> [.., width]
  Value operator()(const Arg& ids) const;
};

}  // namespace weft::nn
