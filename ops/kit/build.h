// Functions that turn a C++ call into a node of the graph: its source line is the first argument's, and C++ numbers
// take the dtype of the first tensor. The room ops/kit/ holds what definitions of ops share: shape and batch rules
// (rules.h), terms and units (terms.h), references (reference.h) and kernels (pointwise.h, rows.h, ...).
#pragma once

#include <weft/graph/graph.h>

#include <initializer_list>
#include <optional>

namespace weft {

/// All outputs of `op` applied to `args`. Absent values stay absent; a number needs a tensor beside it.
Values build_all(const OpDef& op, std::initializer_list<Arg> args, Attributes attributes = {});
/// The first output.
Value build(const OpDef& op, std::initializer_list<Arg> args, Attributes attributes = {});
/// The graph of the first argument that has one; UserError if none has.
Graph graph_of(std::initializer_list<Arg> args);
/// While the result lives, every node added to the graph of `args` has the source line of the first of them: for
/// functions that build several ops. Empty if none of `args` is a Value of a graph.
[[nodiscard]] std::optional<Scope> called_at(std::initializer_list<Arg> args);

}  // namespace weft
