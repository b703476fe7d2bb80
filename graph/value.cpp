#include <weft/graph/graph.h>

namespace weft {

const TensorType& Value::type() const { return graph().type(ref_); }

const Node& Value::node() const {
  WEFT_CHECK(
      !absent(),
      "a value that was never built has no node: it is the default of Value, or an operand left out; hint: if (value)");
  graph().expect_built(ref_);
  return graph().node(ref_.node);
}

std::string Value::name() const {
  const Node& from = node();
  if (ref_.output == 0) return from.name;
  // An op with as many outputs as its attributes say (split) names only the first.
  return ref_.output < from.op->outputs.size() ? fmt::format("{}.{}", from.name, from.op->outputs[ref_.output])
                                               : fmt::format("{}.{}", from.name, ref_.output);
}

Graph Value::graph() const {
  WEFT_CHECK(
      !absent(),
      "a value that was never built belongs to no graph: it is the default of Value, or an operand left out; hint: "
      "if (value)");
  return Graph(graph_);
}

}  // namespace weft
