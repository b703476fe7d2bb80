#include <weft/graph/graph_data.h>
#include <weft/graph/sources.h>
#include <weft/graph/verify.h>

#include <set>

namespace weft {
namespace {

void verify_types(const Graph& graph, const Node& node) {
  const auto view = graph.view(node);
  std::vector<TensorType> types;
  try {
    types = node.op->infer({*node.op, node.attributes, view->in, {}});
  } catch (const UserError& error) {
    WEFT_INVARIANT(false, "the shape rule of {} refuses '{}': {}", node.op->name, node.name, error.reason);
  }
  WEFT_INVARIANT(types.size() == node.types.size(), "'{}' has {} outputs, its shape rule gives {}", node.name,
                 node.types.size(), types.size());
  for (std::size_t i = 0; i < types.size(); ++i)
    WEFT_INVARIANT(types[i] == node.types[i], "output {} of '{}' is {}, its shape rule gives {}", i, node.name,
                   node.types[i].str(), types[i].str());
}

// Each operand that is present has one edge, in whatever order.
void verify_edges(const GraphData& data, Vertex vertex, const Node& node) {
  std::vector<bool> seen(node.operands.size(), false);
  for (auto [at, end] = boost::in_edges(vertex, data.nodes); at != end; ++at) {
    const OperandEdge& edge = data.nodes[*at];
    const ValueRef ref{data.order[boost::source(*at, data.nodes)], edge.output};
    WEFT_INVARIANT(edge.operand < seen.size() && !seen[edge.operand] && node.operands[edge.operand] == ref,
                   "an edge of '{}' does not mirror operand {}", node.name, edge.operand);
    seen[edge.operand] = true;
  }
  for (std::size_t i = 0; i < seen.size(); ++i)
    WEFT_INVARIANT(seen[i] == (node.operands[i].node != no_node), "operand {} of '{}' has no edge", i, node.name);
}

void verify_value(const Step& step, const Value& value, const StepRole& role) {
  if (value.absent()) return;
  WEFT_INVARIANT(value.graph_data() == step.graph.data(), "{} belongs to another graph than the step", role.str());
  if (!value.valid()) return;
  WEFT_INVARIANT(step.graph.has(value.ref().node), "{} is node {}, which the step's graph lacks", role.str(),
                 value.ref().node);
  WEFT_INVARIANT(value.ref().output < value.node().types.size(), "{} is output {} of '{}', which has {}", role.str(),
                 value.ref().output, value.node().name, value.node().types.size());
}

// Values of micro-batches reach those of the step only through what gathers them, and never come back.
void verify_phases(const Step& step) {
  WEFT_INVARIANT(step.micro_batches >= 1, "a step of {} micro-batches", step.micro_batches);
  if (step.micro_batches == 1) return;
  const Graph& graph = step.graph;
  auto is_micro = [&](ValueRef ref) {
    const Node& node = graph.node(ref.node);
    return node.phase == Phase::micro && !node.op->traits.source;
  };
  std::vector<bool> gathered(graph.next_id(), false);  // made from what all micro-batches gave
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (node.op->traits.source) continue;
    gathered[id] = node.op->traits.gathers;
    WEFT_INVARIANT(!node.op->traits.gathers || node.phase == Phase::step,
                   "'{}' gathers over micro-batches and is no node of the step", node.name);
    for (const ValueRef& ref : node.operands) {
      if (ref.node == no_node) continue;
      const std::string& read = graph.node(ref.node).name;
      if (node.op->traits.gathers)
        WEFT_INVARIANT(is_micro(ref), "'{}' gathers '{}', which is the same for all micro-batches", node.name, read);
      else if (node.phase == Phase::micro)
        WEFT_INVARIANT(!gathered[ref.node], "'{}' runs for each micro-batch and reads '{}', which they give together",
                       node.name, read);
      else
        WEFT_INVARIANT(!is_micro(ref),
                       "'{}' runs once and reads '{}' of each micro-batch; hint: accumulate_sum, micro_stack",
                       node.name, read);
      gathered[id] = gathered[id] || gathered[ref.node];
    }
  }
  step.each_value([&](const Value& value, const StepRole& role) {
    WEFT_INVARIANT(!value.valid() || !role.is_once_a_step() || !is_micro(value.ref()), "{} is '{}' of each micro-batch",
                   role.str(), value.name());
  });
}

}  // namespace

void verify(const Graph& graph) {
  const GraphData& data = *graph.data();
  const std::size_t size = boost::num_vertices(data.nodes);
  WEFT_INVARIANT(data.order.size() == size, "{} ids for {} nodes", data.order.size(), size);
  WEFT_INVARIANT(data.names.size() == size, "{} names for {} nodes: two nodes share a name", data.names.size(), size);
  for (Vertex vertex = 0; vertex < size; ++vertex) {
    const Node& node = *data.nodes[vertex].node;
    WEFT_INVARIANT(node.op != nullptr, "node {} has no op", node.id);
    WEFT_INVARIANT(node.id == data.order[vertex] && data.has(node.id) && data.vertex_of[node.id] == vertex,
                   "the id {} of '{}' is not its own", node.id, node.name);
    WEFT_INVARIANT(node.id < data.next_id, "the id {} of '{}' would be given again", node.id, node.name);
    const auto name = data.names.find(node.name);
    WEFT_INVARIANT(name != data.names.end() && name->second == node.id, "the name '{}' is not its node's own",
                   node.name);
    for (const ValueRef& ref : node.operands) {
      if (ref.node == no_node) continue;
      WEFT_INVARIANT(data.has(ref.node), "'{}' reads node {}, which the graph lacks", node.name, ref.node);
      WEFT_INVARIANT(data.vertex_of[ref.node] < vertex, "'{}' comes before its operand '{}'", node.name,
                     data.node(ref.node).name);
      WEFT_INVARIANT(ref.output < data.node(ref.node).types.size(), "'{}' reads output {} of '{}', which has {}",
                     node.name, ref.output, data.node(ref.node).name, data.node(ref.node).types.size());
    }
    verify_edges(data, vertex, node);
    verify_types(graph, node);
  }
  for (const auto& [state, value] : data.updates) {
    WEFT_INVARIANT(data.has(state.node) && data.has(value.node), "an update of the graph refers to a missing node");
    WEFT_INVARIANT(graph.type(state) == graph.type(value), "the update of '{}' changes its type",
                   data.node(state.node).name);
  }
}

void verify(const Step& step) {
  verify(step.graph);
  step.each_value([&](const Value& value, const StepRole& role) { verify_value(step, value, role); });
  WEFT_INVARIANT(step.graph.updates().empty(),
                 "the graph has an update of '{}', which the step has not taken; hint: step.take_updates()",
                 step.graph.updates().front().state.name());
  for (const Gradient& gradient : step.gradients) {
    WEFT_INVARIANT(gradient.parameter.valid() && gradient.value.valid(), "a gradient without value or parameter");
    WEFT_INVARIANT(gradient.parameter.type() == gradient.value.type(), "the gradient of '{}' is {}, the parameter {}",
                   gradient.parameter.name(), gradient.value.type().str(), gradient.parameter.type().str());
  }
  auto scalar = [](const Value& value, DType type, std::string_view what) {
    WEFT_INVARIANT(!value.valid() || (value.rank() == 0 && value.dtype() == type), "{} must be {}[], it is {}", what,
                   name_of(type), value.type().str());
  };
  scalar(step.taken, boolean, "the flag 'taken'");
  scalar(step.due, boolean, "the flag 'due'");
  for (const Value& value : {step.gradient_weight, step.loss_scale ? step.loss_scale->scale : Value{}})
    WEFT_INVARIANT(!value.valid() || (value.shape().count() == 1 && is_float(value.dtype())),
                   "what gradients are divided by must be one floating number, it is {}", value.type().str());
  std::set<ValueRef> updated, differentiated;
  for (const Gradient& gradient : step.gradients) {
    const std::string name = gradient.parameter.name();
    WEFT_INVARIANT(differentiated.insert(gradient.parameter.ref()).second, "'{}' has two gradients", name);
    WEFT_INVARIANT(!gradient.tags.scaled || step.loss_scale,
                   "the gradient of '{}' is tagged scaled, and there is no loss scale", name);
    WEFT_INVARIANT(gradient.tags.weight_normalised || step.gradient_weight.valid(),
                   "the gradient of '{}' is tagged as not divided by the weight of the loss, and there is no weight",
                   name);
  }
  for (const Update& update : step.updates) {
    WEFT_INVARIANT(update.state.valid() && update.value.valid(), "an update without state or value");
    const OpDef* kind = update.state.node().op;
    WEFT_INVARIANT(kind == &parameter_op() || kind == &state_op(),
                   "'{}' is updated and is no parameter or state but a result of [{}]", update.state.name(),
                   kind->name);
    WEFT_INVARIANT(update.state.type() == update.value.type(), "the update of '{}' is {}, the state {}",
                   update.state.name(), update.value.type().str(), update.state.type().str());
    WEFT_INVARIANT(updated.insert(update.state.ref()).second, "'{}' is updated twice", update.state.name());
  }
  std::set<std::string_view> names;
  for (const Fetch& fetch : step.fetches) {
    WEFT_INVARIANT(fetch.value.valid(), "the fetch '{}' has no value", fetch.name);
    WEFT_INVARIANT(names.insert(fetch.name).second, "two fetches are named '{}'", fetch.name);
  }
  verify_phases(step);
}

}  // namespace weft
