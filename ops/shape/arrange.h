// Elements put elsewhere, or left out: padding, reversal, triangles, and what is made of slices and reshapes.
#pragma once

#include <weft/graph/graph.h>

#include <vector>

namespace weft {

struct Padding {
  std::int64_t before = 0, after = 0;
};
/// x with `value` around it; one Padding for each axis. Lengths are not negative: slice() cuts.
Value pad(const Arg& x, const std::vector<Padding>& padding, double value = 0);
/// x in reverse order along each of `axes`.
Value flip(const Arg& x, const std::vector<std::int64_t>& axes);
/// x moved by `shift` places along an axis; what leaves at one end enters at the other.
Value roll(const Arg& x, std::int64_t shift, std::int64_t axis);

/// Elements of the last two axes with j - i <= diagonal; zero elsewhere.
Value tril(const Arg& x, std::int64_t diagonal = 0);
/// Elements of the last two axes with j - i >= diagonal; zero elsewhere.
Value triu(const Arg& x, std::int64_t diagonal = 0);

/// Pieces of the given sizes along an axis. UserError if they do not add up to its extent.
std::vector<Value> split(const Arg& x, const std::vector<std::int64_t>& sizes, std::int64_t axis);
/// `count` equal pieces. UserError if the extent is not a multiple of it.
std::vector<Value> split(const Arg& x, std::int64_t count, std::int64_t axis);
/// x times[a] times after itself along each axis (torch.Tensor.repeat, numpy.tile with as many numbers as axes).
Value repeat(const Arg& x, const std::vector<std::int64_t>& times);
/// Every element `times` times along an axis (torch.repeat_interleave).
Value repeat_interleave(const Arg& x, std::int64_t times, std::int64_t axis);

const OpDef& pad_op();
const OpDef& flip_op();
const OpDef& tril_op();
const OpDef& triu_op();
void register_arrange();

}  // namespace weft
