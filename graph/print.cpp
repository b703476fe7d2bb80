#include <weft/graph/print.h>

#include <weft/graph/reach.h>

#include <ostream>

namespace weft {
namespace {

std::string text_of(const Graph& graph, ValueRef ref) {
  if (ref.node == no_node) return "none";
  if (ref.output == 0) return fmt::format("%{}", ref.node);
  const std::vector<std::string>& names = graph.node(ref.node).op->outputs;
  return ref.output < names.size() ? fmt::format("%{}.{}", ref.node, names[ref.output])
                                   : fmt::format("%{}.{}", ref.node, ref.output);
}

std::string text_of(const Value& value) {
  return value.valid() ? text_of(value.graph(), value.ref()) : value.absent() ? "none" : "removed";
}

std::string row(const Graph& graph, const Node& node, const PrintOptions& options) {
  std::string operands, types;
  for (const ValueRef& ref : node.operands) operands += (operands.empty() ? "" : ", ") + text_of(graph, ref);
  for (const TensorType& type : node.types) types += (types.empty() ? "" : ", ") + type.str();
  Attributes shown;  // a source's type stands at the end of the row already
  for (const Attributes::Entry& entry : node.attributes)
    if (!node.op->traits.source || (entry.name != "dtype" && entry.name != "shape")) shown.set(entry.name, entry.value);
  std::string text = fmt::format("%{} {} = {}({})", node.id, node.name, node.op->name, operands);
  if (!shown.empty()) text += " " + shown.str();
  text += " : " + types;
  if (options.lines) text += "  # " + str(node.where);
  return text + "\n";
}

std::string rows(const Graph& graph, const NodeSet* shown, const PrintOptions& options) {
  std::vector<NodeId> ids(graph.ids().begin(), graph.ids().end());
  if (shown != nullptr) std::erase_if(ids, [&](NodeId id) { return !shown->contains(id); });
  bool both = false;
  const Node* last = nullptr;
  auto phase_changes = [&](const Node& node) {
    if (node.op->traits.source || (last != nullptr && last->phase == node.phase)) return false;
    last = &node;
    return true;
  };
  std::size_t changes = 0;
  for (const NodeId id : ids)
    if (phase_changes(graph.node(id))) both |= ++changes > 1;
  last = nullptr;
  std::string text;
  for (const NodeId id : ids) {
    const Node& node = graph.node(id);
    if (options.phases && both && phase_changes(node))
      text += node.phase == Phase::micro ? "-- for each micro-batch --\n" : "-- for each step --\n";
    text += row(graph, node, options);
  }
  return text;
}

std::string text_of(const Loss& loss) {
  std::string text;
  for (const LossTerm& term : loss.terms) {
    text += fmt::format("{}{} * {}", text.empty() ? "" : " + ", term.coefficient, text_of(term.sum));
    if (!term.weight.absent()) text += " / " + text_of(term.weight);
  }
  return text;
}

std::string text_of(const GradientTags& tags) {
  std::string text;
  auto add = [&](bool on, const char* name) {
    if (on) text += (text.empty() ? "" : ", ") + std::string(name);
  };
  add(tags.scaled, "scaled");
  add(!tags.weight_normalised, "not divided by the weight");
  add(tags.finite_checked, "finite-checked");
  add(tags.clipped, "clipped");
  return text.empty() ? "" : " (" + text + ")";
}

}  // namespace

std::string str(const Graph& graph, const PrintOptions& options) { return rows(graph, nullptr, options); }

std::string str(const Step& step, const PrintOptions& options) {
  const std::vector<Value> roots =
      step.values([](const StepRole& role) { return role.is_root() || role.is_once_a_step(); });
  const NodeSet shown = ancestors(step.graph, roots);
  std::string text = rows(step.graph, &shown, options);
  if (!step.loss_value.absent()) text += fmt::format("loss {} = {}\n", text_of(step.loss_value), text_of(step.loss));
  for (const Gradient& gradient : step.gradients)
    text +=
        fmt::format("gradient {} = {}{}\n", gradient.parameter.name(), text_of(gradient.value), text_of(gradient.tags));
  for (const Update& update : step.updates)
    text += fmt::format("update {} := {}\n", update.state.name(), text_of(update.value));
  if (!step.taken.absent()) text += fmt::format("taken if {}\n", text_of(step.taken));
  for (const Fetch& fetch : step.fetches) text += fmt::format("fetch {} = {}\n", fetch.name, text_of(fetch.value));
  return text;
}

std::ostream& operator<<(std::ostream& out, const Graph& graph) { return out << str(graph); }
std::ostream& operator<<(std::ostream& out, const Step& step) { return out << str(step); }

}  // namespace weft
