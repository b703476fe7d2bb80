// Embedding lookup: the rows of a table at given ids.
#pragma once

#include <weft/graph/graph.h>

#include <optional>

namespace weft {

struct EmbeddingOptions {
  /// The row of this id gets no gradient, as torch.nn.Embedding's padding_idx.
  std::optional<std::int64_t> padding_index = {};
};

/// y[.., :] = weight[ids[..], :]; weight [V, C], ids any shape of i32 or i64, y [ids.., C]. An id outside [0, V) is a
/// UserError of the run that names the id and its place.
Value embedding(const Arg& weight, const Arg& ids, EmbeddingOptions options = {});

const OpDef& embedding_op();
/// d_weight[v, :] = sum of d_y[i, :] over the places i with ids[i] = v, in the order of i.
const OpDef& embedding_backward_op();
void register_embedding();

}  // namespace weft
