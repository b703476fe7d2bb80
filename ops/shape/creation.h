// Tensors made without operands: full, zeros and ones repeat one number; iota counts.
#pragma once

#include <weft/graph/graph.h>

namespace weft {

/// Every element is `value`. An integer or bool dtype needs a value that it can hold.
Value full(Graph graph, Shape shape, DType dtype, Number value,
           std::source_location where = std::source_location::current());
inline Value zeros(Graph graph, Shape shape, DType dtype = f32,
                   std::source_location where = std::source_location::current()) {
  return full(std::move(graph), std::move(shape), dtype, 0, where);
}
inline Value ones(Graph graph, Shape shape, DType dtype = f32,
                  std::source_location where = std::source_location::current()) {
  return full(std::move(graph), std::move(shape), dtype, 1, where);
}
/// Zeros, or ones, of x's shape and dtype.
Value zeros_like(const Arg& x);
Value ones_like(const Arg& x);
/// The 1-D tensor 0, 1, ..., n - 1 (torch.arange).
Value iota(Graph graph, Dim n, DType dtype = i64, std::source_location where = std::source_location::current());

const OpDef& full_op();
const OpDef& iota_op();
void register_creation();

}  // namespace weft
