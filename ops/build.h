// From a call in C++ to a node: the line is the first argument's, C++ numbers take the dtype of the first tensor.
#pragma once

#include <weft/graph/graph.h>

#include <initializer_list>

namespace weft {

/// All outputs of `op` applied to `args`. Absent values stay absent; a number needs a tensor beside it.
Values build_all(const OpDef& op, std::initializer_list<Arg> args, Attributes attributes = {});
/// The first output.
Value build(const OpDef& op, std::initializer_list<Arg> args, Attributes attributes = {});
/// The graph of the first argument that has one; UserError if none has.
Graph graph_of(std::initializer_list<Arg> args);

}  // namespace weft
