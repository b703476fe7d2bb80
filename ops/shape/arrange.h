// Ops that rearrange, pad or repeat elements: pad, flip, roll, tril, triu, split and repeat.
#pragma once

#include <weft/graph/graph.h>

#include <vector>

namespace weft {

/// How many elements pad() adds before and after those of one axis.
struct Padding {
  std::int64_t before = 0, after = 0;
};
/// x with `value` around it; one Padding for each axis (torch.nn.functional.pad). UserError if a length is negative;
/// slice() removes elements.
Value pad(const Arg& x, const std::vector<Padding>& padding, double value = 0);
/// x in reverse order along each of `axes` (torch.flip).
Value flip(const Arg& x, const std::vector<std::int64_t>& axes);
/// y[.., (i + shift) mod n, ..] = x[.., i, ..] along an axis of extent n (torch.roll).
Value roll(const Arg& x, std::int64_t shift, std::int64_t axis);

/// y[.., i, j] = x[.., i, j] where j - i <= diagonal, else 0 (torch.tril).
Value tril(const Arg& x, std::int64_t diagonal = 0);
/// y[.., i, j] = x[.., i, j] where j - i >= diagonal, else 0 (torch.triu).
Value triu(const Arg& x, std::int64_t diagonal = 0);

/// Pieces of the given sizes along an axis (torch.split). UserError if the sizes do not add up to its extent.
std::vector<Value> split(const Arg& x, const std::vector<std::int64_t>& sizes, std::int64_t axis);
/// `count` equal pieces along an axis. UserError if the extent is not a multiple of `count`.
std::vector<Value> split(const Arg& x, std::int64_t count, std::int64_t axis);
/// x repeated times[a] times along each axis a; one number for each axis (torch.Tensor.repeat, numpy.tile).
Value repeat(const Arg& x, const std::vector<std::int64_t>& times);
/// Each element repeated `times` times in a row along an axis (torch.repeat_interleave).
Value repeat_interleave(const Arg& x, std::int64_t times, std::int64_t axis);

const OpDef& pad_op();
const OpDef& flip_op();
const OpDef& tril_op();
const OpDef& triu_op();
void register_arrange();

}  // namespace weft
