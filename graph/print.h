// A graph or step as text: stable from run to run, for people and for tests, and as DOT for Graphviz.
#pragma once

#include <weft/graph/step.h>

#include <iosfwd>
#include <string>

namespace weft {

struct PrintOptions {
  bool lines = false;  ///< the user's file and line at the end of each row
  bool phases = true;  ///< a heading where the phase changes
};

/// One row for each node: `%12 decoder/0/mlp/gelu = gelu(%11) {approximate='none'} : f32[batch=12, 64, 512]`.
std::string str(const Graph& graph, const PrintOptions& options = {});
/// The rows that the step's roots need, then losses, gradients, updates and fetches.
std::string str(const Step& step, const PrintOptions& options = {});
std::ostream& operator<<(std::ostream& out, const Graph& graph);
std::ostream& operator<<(std::ostream& out, const Step& step);

/// Graphviz (by Boost.Graph): forward, backward and update nodes in their colours, scopes as clusters.
std::string dot(const Graph& graph);
std::string dot(const Step& step);

}  // namespace weft
