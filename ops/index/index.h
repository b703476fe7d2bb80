// Elements selected by ids (gather, index_select, take) and the adjoints of these ops (scatter_add, index_add). Ids are
// i32 or i64; one outside its range is a UserError of the run that names it and its place. The room ops/index/ holds
// these, embedding (embedding.h), one-hot encoding (one_hot.h), sorting (sort.h) and random tensors (sampling.h).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// y[.., i, ..] = x[.., ids[.., i, ..], ..] along `axis` (torch.gather): ids has x's rank and, along other axes, at
/// most its extents; y has ids' shape.
Value gather(const Arg& x, std::int64_t axis, const Arg& ids);
/// x with y[.., ids[.., i, ..], ..] += source[.., i, ..] (torch.scatter_add); ids and source have one shape. Equal ids
/// add up in the order of i, so the bits do not depend on threads.
Value scatter_add(const Arg& x, std::int64_t axis, const Arg& ids, const Arg& source);
/// y[.., i, ..] = x[.., ids[i], ..] with ids [n] (torch.index_select).
Value index_select(const Arg& x, std::int64_t axis, const Arg& ids);
/// x with y[.., ids[i], ..] += source[.., i, ..] with ids [n] (torch.index_add), in the order of i.
Value index_add(const Arg& x, std::int64_t axis, const Arg& ids, const Arg& source);
/// y[..] = x[ids[..]], x as if it were flat (torch.take): y has ids' shape.
Value take(const Arg& x, const Arg& ids);

const OpDef& gather_op();
/// (source, ids) -> y of attribute "shape": y[.., ids[.., i, ..], ..] = sum of source[.., i, ..], 0 elsewhere.
const OpDef& scatter_add_op();
const OpDef& index_select_op();
/// (source, ids) -> y with extent "extent" along the axis: y[.., ids[i], ..] = sum of source[.., i, ..], 0 elsewhere.
const OpDef& index_add_op();
const OpDef& take_op();
void register_index();

}  // namespace weft
