// sort and topk: elements in order along an axis. A NaN is larger than every number; of equal elements the lower index
// comes first, also in descending order. Gradients go back to the elements of x from which the values come.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

struct Sorted {
  Value values, indices;  ///< indices: i64, places in x along the axis
};
/// All elements (torch.sort with stable=True).
Sorted sort(const Arg& x, std::int64_t axis = -1, bool descending = false);
/// The k largest (or smallest), in order (torch.topk). UserError if there are fewer than k.
Sorted topk(const Arg& x, std::int64_t k, std::int64_t axis = -1, bool largest = true);

const OpDef& sort_op();
const OpDef& topk_op();
void register_sort();

}  // namespace weft
