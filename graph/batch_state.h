// How a value depends on the batch: the axis along which its examples lie, a sum over them, or anything else.
#pragma once

#include <weft/graph/shape.h>

#include <cstdint>
#include <string>

namespace weft {

/// How one value depends on a batch of n examples.
///   free    does not depend on the batch
///   split   example i alone decides the part of index i: extents[axis] = outer * n * inner
///   summed  a sum over the examples: the value for a batch is the sum of the values for its parts
///   mixed   anything else that combines examples (a quotient of sums, a norm over the batch)
/// A mixed value may still have the batch in its shape (axis >= 0).
struct BatchState {
  enum class Kind : std::uint8_t { free, split, summed, mixed };
  Kind kind = Kind::free;
  int axis = -1;
  std::int64_t outer = 1, inner = 1;

  static BatchState split_at(int axis, std::int64_t outer = 1, std::int64_t inner = 1) {
    return {Kind::split, axis, outer, inner};
  }
  static BatchState summed() { return {Kind::summed, -1, 1, 1}; }
  static BatchState mixed() { return {Kind::mixed, -1, 1, 1}; }
  bool in_shape() const { return axis >= 0; }
  BatchState moved_to(int to) const { return {kind, to, outer, inner}; }
  BatchState as_mixed() const { return {Kind::mixed, axis, outer, inner}; }
  std::string str() const;
  friend bool operator==(const BatchState&, const BatchState&) = default;
};

/// split, where `shape` has the named extent, by its place among the factors of that axis; else free.
BatchState locate_batch(const Shape& shape, Symbol batch);

}  // namespace weft
