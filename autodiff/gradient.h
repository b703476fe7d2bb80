// Reverse-mode differentiation: builds the nodes of the gradient, calls no kernel. What it builds is a graph like any
// other, so it can be differentiated again.
#pragma once

#include <weft/graph/graph.h>

#include <vector>

namespace weft {

struct GradientOptions {
  /// A value that `loss` does not depend on: an absent Value instead of a UserError.
  bool allow_unused = false;
};

/// d loss / d values[i], for a scalar loss. UserError: the loss is no scalar of a floating type, a value does not reach
/// it (with the place where the path is cut), an op on the path has neither a backward nor a plain definition.
std::vector<Value> gradient(const Value& loss, const std::vector<Value>& values, GradientOptions options = {});

/// Vector-Jacobian product: sum_i <outputs[i], cotangents[i]> differentiated by each value; absent where nothing flows.
std::vector<Value> vector_jacobian(const std::vector<Value>& outputs, const std::vector<Value>& cotangents,
                                   const std::vector<Value>& values);

/// Where paths from `outputs` back to `values` are cut: nodes that read what depends on a value and give
/// none of it a gradient (stop_gradient, floor, argmax, a comparison), those nearest to `outputs`, in build order.
std::vector<NodeId> gradient_ends(const std::vector<Value>& outputs, const std::vector<Value>& values);

}  // namespace weft
