#include <weft/graph/at_batch.h>

#include <weft/graph/graph_data.h>
#include <weft/graph/rewrite.h>
#include <weft/graph/sources.h>
#include <weft/graph/user_rule.h>

#include <algorithm>

namespace weft {
namespace {

void check_place(const Node& node, std::size_t k, const BatchState& state, std::int64_t n) {
  const Shape& shape = node.types[k].shape;
  WEFT_CHECK(state.axis < shape.rank() && state.outer > 0 && state.inner > 0 &&
                 shape.extent(state.axis) == state.outer * n * state.inner,
             "{} ({}): the batch rule of {} says '{}', which does not fit output {} of type {} with a batch of {}",
             node.name, str(node.where), node.op->name, state.str(), k, node.types[k].str(), n);
}

std::vector<BatchState> states_of(const Graph& graph, const Node& node,
                                  const std::vector<std::vector<BatchState>>& known, Symbol batch) {
  std::vector<BatchState> states;
  if (node.op->traits.source) {
    for (const TensorType& type : node.types) states.push_back(locate_batch(type.shape, batch));
    return states;
  }
  std::vector<BatchState> in;
  for (const ValueRef& ref : node.operands)
    in.push_back(ref.node == no_node ? BatchState{} : known[ref.node][ref.output]);
  if (node.op->batch) {
    user_rule(node, "its batch rule", [&] {
      states = node.op->batch(graph.view(node)->view, in);
      WEFT_CHECK(states.size() == node.types.size(), "the batch rule gives {} states for {} outputs", states.size(),
                 node.types.size());
    });
    return states;
  }
  // An op that was never registered may lack the rule: then nothing is known of how examples meet in it.
  const bool free = std::ranges::all_of(in, [](const BatchState& s) { return s.kind == BatchState::Kind::free; });
  for (const TensorType& type : node.types) {
    const BatchState place = locate_batch(type.shape, batch);
    states.push_back(free && !place.in_shape() ? BatchState{} : place.as_mixed());
  }
  return states;
}

// The extent of the batch in what a node computes.
std::int64_t extent_of(const Node& node, std::int64_t n, std::int64_t micro_batches) {
  return node.phase == Phase::micro && !node.op->traits.source ? n / micro_batches : n;
}

}  // namespace

std::int64_t batch_of(const Graph& graph, const std::string& who) {
  const auto n = graph.extent(Symbol(batch_name));
  WEFT_CHECK(n,
             "{}: no extent of this graph is named '{}'; hint: declare the batch as graph.dim(\"{}\", n) "
             "and use it in the shapes of the inputs",
             who, batch_name, batch_name);
  return *n;
}

std::vector<std::vector<BatchState>> batch_states(const Graph& graph, std::int64_t micro_batches) {
  std::vector<std::vector<BatchState>> states(graph.next_id());
  const Symbol batch(batch_name);
  const auto n = graph.extent(batch);
  if (!n) {
    for (const NodeId id : graph.ids()) states[id].resize(graph.node(id).types.size());
    return states;
  }
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    states[id] = states_of(graph, node, states, batch);
    for (std::size_t k = 0; k < states[id].size(); ++k)
      if (states[id][k].in_shape()) check_place(node, k, states[id][k], extent_of(node, *n, micro_batches));
  }
  return states;
}

Graph at_batch(const Graph& graph, std::int64_t n, std::int64_t micro_batches) {
  const Symbol batch(batch_name);
  const std::int64_t old = batch_of(graph, fmt::format("at_batch({})", n));
  WEFT_CHECK(n > 0, "at_batch: the batch must be positive, got {}", n);
  WEFT_CHECK(n % micro_batches == 0, "at_batch({}): this step runs {} micro-batches, which do not divide a batch of {}",
             n, micro_batches, n);
  if (old == n) return graph;
  const auto states = batch_states(graph, micro_batches);

  Rebuild rebuild(graph, "at_batch");
  rebuild.to().data()->dims.find(batch_name)->second.first = n;
  auto refuse = [&](const std::string& message) {
    WEFT_FAIL(
        "at_batch({}): {}; hint: an extent was given as a number that only equals the batch of {}: reshape to the "
        "Dim, not to a number",
        n, message, old);
  };
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (node.op == &constant_op() || node.op == &parameter_op())
      WEFT_CHECK(!node.types.front().shape.has(batch),
                 "at_batch({}): {} ({}): a {} has the batch in its shape {}; hint: make it an input or a state", n,
                 node.name, str(node.where), node.op->name, node.types.front().shape.str());
    try {
      rebuild.keep_with(node, node.attributes.with_extent(batch, extent_of(node, n, micro_batches)));
    } catch (const UserError& error) {
      refuse(error.reason);
    }
    const Node& made = rebuild.to().node(id);
    for (std::size_t k = 0; k < made.types.size(); ++k) {
      const BatchState& state = states[id][k];
      if (!state.in_shape()) continue;
      const std::int64_t expected = state.outer * extent_of(node, n, micro_batches) * state.inner;
      const Shape& shape = made.types[k].shape;
      if (state.axis < shape.rank() && shape.extent(state.axis) == expected) continue;
      refuse(fmt::format("{} ({}): [{}] output {} must have {} at axis {}, got {}", node.name, str(node.where),
                         node.op->name, k, expected, state.axis, shape.str()));
    }
  }
  return rebuild.finish();
}

Step at_batch(const Step& step, std::int64_t n) {
  const Graph graph = at_batch(step.graph, n, step.micro_batches);
  return graph == step.graph ? step : step.over(graph);
}

}  // namespace weft
