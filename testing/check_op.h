// The tests of an op of one's own, in one call: all that the library's ops go through (inspect/op/check_op.h).
#pragma once

#include <weft/inspect/op/check_op.h>

#include <source_location>
#include <string_view>

namespace weft::testing {

/// Checks the registered op of that name: shape rule, every kernel against the plain definition or reference, gradients
/// by finite differences, second order, batch rule, memory that the kernel touches, rows and evaluation as promised,
/// numbers of threads, recomputation, NaN, other shapes, bad samples. An op with neither has nothing that says what it
/// should give: its types are then compared with its f64 kernel alone. UserError: no op has this name (the nearest
/// names are listed).
OpCheck check_op(std::string_view name, std::source_location where = std::source_location::current());

}  // namespace weft::testing
