// From a call in C++ to a node: the line is the first argument's, C++ numbers take the dtype of the first tensor.
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
/// While it lives, every node of the graph of `args` has the line of the first of them: for functions made of several
/// ops. Empty where none of them is a Value of a graph.
[[nodiscard]] std::optional<Scope> called_at(std::initializer_list<Arg> args);

}  // namespace weft
