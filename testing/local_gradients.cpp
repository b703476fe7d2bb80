#include <weft/testing/local_gradients.h>

#include <weft/graph/reach.h>
#include <weft/inspect/divergence/one_run.h>
#include <weft/optim/fetch.h>
#include <weft/testing/outcome.h>

#include <algorithm>
#include <deque>
#include <map>

namespace weft::testing {
namespace {

constexpr std::size_t most_kinds = 200;        // of nodes that are looked at
constexpr std::int64_t most_bytes = 64 << 20;  // of an operand

bool any_f64(const std::vector<TensorType>& types) {
  return std::ranges::any_of(types, [](const TensorType& type) { return type.dtype == f64; });
}

// One node of each kind.
std::vector<NodeId> kinds(const Graph& graph, const NodeSet& among) {
  std::map<std::string, NodeId> seen;
  std::vector<NodeId> found;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!among.contains(id) || node.op->traits.source || node.op->traits.cuts_gradient || !any_f64(node.types))
      continue;
    if (node.op->traits.gathers || node.op->traits.per_micro_batch || node.op->traits.guard) continue;
    std::string kind = node.op->name + node.attributes.str();
    bool smooth = false, small = true;
    for (const ValueRef ref : node.operands) {
      if (ref.node == no_node) continue;
      const TensorType& type = graph.type(ref);
      kind += " " + type.str();
      smooth |= type.dtype == f64;
      small &= static_cast<std::int64_t>(type.bytes()) <= most_bytes;
    }
    if (smooth && small && seen.emplace(kind, id).second) found.push_back(id);
    if (found.size() == most_kinds) break;
  }
  return found;
}

// The node alone, over inputs that are fed what it read.
GradientCheck check_alone(const Node& node, const std::vector<Tensor>& read, const GradientCheckOptions& options) {
  Graph graph;
  Values operands;
  std::deque<std::string> names;
  std::vector<Feed> feeds;
  std::vector<Value> by, outputs;
  std::size_t next = 0;
  for (const ValueRef ref : node.operands) {
    if (ref.node == no_node) {
      operands.emplace_back();
      continue;
    }
    const Tensor& tensor = read[next++];
    names.push_back(fmt::format("x{}", names.size()));
    operands.push_back(graph.input(names.back(), tensor.dtype(), Shape(std::span(tensor.extents()))));
    feeds.emplace_back(names.back(), tensor);
    if (tensor.dtype() == f64 && tensor.size() > 0) by.push_back(operands.back());
  }
  for (const Value& output : graph.apply(*node.op, operands, node.attributes))
    if (output.valid() && output.dtype() == f64) outputs.push_back(output);
  graph.check();
  return outputs.empty() || by.empty() ? GradientCheck{} : check_gradients(outputs, by, feeds, options);
}

// Nodes of `behind` that cut the gradient of one of the values.
std::string cuts_between(const Graph& graph, const std::vector<Value>& values, const NodeSet& behind) {
  const NodeSet reached =
      descendants(graph, values, [&](const Node& reader, ValueRef) { return behind.contains(reader.id); });
  std::string text;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (node.op->traits.cuts_gradient && reached.contains(id))
      text += fmt::format("\n  [{}] at {} ({})", node.op->name, node.name, str(node.where));
  }
  return text;
}

}  // namespace

std::string wrong_backwards(const Step& step, const Value& scalar, const std::vector<Value>& failing,
                            std::span<const Feed> feeds, const Store& store, const GradientCheckOptions& options) {
  if (step.micro_batches > 1) return "hint: the step without accumulate() says which op's backward is wrong";
  const NodeSet behind = ancestors(step.graph, {scalar});
  const std::vector<NodeId> nodes = kinds(step.graph, behind);
  Step wanted = without_results(step);
  for (const NodeId id : nodes)
    for (const ValueRef ref : step.graph.node(id).operands)
      if (ref.node != no_node) wanted.set_fetch(fmt::format("{}.{}", ref.node, ref.output), step.graph.value(ref));
  if (wanted.fetches.empty()) return "";
  const OneRun run(wanted, store, feeds);

  std::string text, kinks;
  std::size_t wrong = 0;
  for (const NodeId id : nodes) {
    const Node& node = step.graph.node(id);
    std::vector<Tensor> read;
    for (const ValueRef ref : node.operands)
      if (ref.node != no_node) read.push_back(run.tensor(fmt::format("{}.{}", ref.node, ref.output)));
    try {
      const GradientCheck check = check_alone(node, read, options);
      if (check.passed()) continue;
      const auto at = std::ranges::find(check.failures, false, &GradientCheck::Failure::undecided);
      if (at == check.failures.end()) {
        kinks += fmt::format("\n  [{}] at {} ({}): {}", node.op->name, node.name, str(node.where),
                             check.failures.front().why);
        continue;
      }
      const GradientCheck::Failure& first = *at;
      if (++wrong <= 6)
        text +=
            fmt::format("\n  [{}] at {} ({}): by operand {} it gives {:.9g}, differences {:.9g}; {}", node.op->name,
                        node.name, str(node.where), first.value.substr(1), first.analytic, first.numeric, first.why);
    } catch (const UserError& error) {
      text += fmt::format("\n  [{}] at {} ({}): {}", node.op->name, node.name, str(node.where), error.what());
    }
  }
  if (text.empty() && !kinks.empty()) return "no op's backward is wrong, but differences cannot tell of these:" + kinks;
  if (text.empty()) {
    const std::string alone = fmt::format(
        "each op alone has the right gradient on these numbers ({} kinds of nodes were looked at): ", nodes.size());
    const std::string cuts = cuts_between(step.graph, failing, behind);
    if (cuts.empty()) return alone + "what is wrong came with a transform that changed the gradients";
    return alone + "differences see the paths that these cut on purpose, the gradient does not:" + cuts +
           "\n  hint: if they are meant to be cut, match parameters whose paths do not lead through them; if the paths "
           "around them are wrong, a transform changed the gradients";
  }
  return "the backward of these ops, each alone on the numbers that it read, disagrees with differences:" + text;
}

}  // namespace weft::testing
