#include <weft/inspect/divergence/first_nonfinite.h>

#include <weft/graph/reach.h>
#include <weft/graph/sources.h>
#include <weft/inspect/divergence/one_run.h>
#include <weft/inspect/divergence/whole_values.h>
#include <weft/optim/fetch.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace weft {
namespace {

ValueRange range_of(const Value& value, const Tensor& tensor) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  const Spread spread = spread_of(tensor);
  return {.path = value.name(),
          .type = value.type().str(),
          .where = str(value.node().where),
          .least = spread.finite > 0 ? spread.least : none,
          .most = spread.finite > 0 ? spread.most : none,
          .nan = spread.nan,
          .infinite = spread.infinite,
          .elements = tensor.size()};
}

// One run with all floating values fetched.
class Watched {
 public:
  Watched(const Step& step, const std::vector<NamedResult>& results, const Store& store, std::span<const Feed> feeds) {
    WholeValues values(step, "first_nonfinite");
    Step& all = values.step();
    all = without_results(all);
    std::set<ValueRef> asked;
    for (const NamedResult& result : results) asked.insert(result.value.ref());
    std::map<ValueRef, std::string> names;
    for (const NodeId id : step.graph.ids()) {
      const std::size_t outputs = step.graph.node(id).types.size();
      for (std::uint32_t k = 0; k < outputs; ++k) {
        const ValueRef ref{id, k};
        if (!is_float(step.graph.type(ref).dtype) || (!values.is_read(ref) && !asked.contains(ref))) continue;
        const Value value = values.of(ref);
        if (!value.valid()) continue;
        names[ref] = fmt::format("value/{}.{}", id, k);
        all.set_fetch(names[ref], value);
      }
    }
    const OneRun run(all, store, feeds);
    for (const auto& [ref, name] : names) ranges_.emplace(ref, range_of(step.graph.value(ref), run.tensor(name)));
  }

  const ValueRange* range(ValueRef ref) const {
    const auto at = ranges_.find(ref);
    return at == ranges_.end() ? nullptr : &at->second;
  }
  bool bad(ValueRef ref, bool nan) const {
    const ValueRange* found = range(ref);
    return found != nullptr && (nan ? found->nan : found->infinite) > 0;
  }

 private:
  std::map<ValueRef, ValueRange> ranges_;
};

// Made of nothing that is fed, kept or drawn.
bool is_constant(const Node& node) {
  return node.op == &constant_op() || (node.operands.empty() && !node.op->traits.source && !node.op->traits.random);
}

// The first node from which NaN (or infinity) comes to the value through values that hold it. A constant counts only
// where there is nothing else: the -inf of a mask is meant.
NodeId origin_of(const Graph& graph, const Watched& run, const Value& value, bool nan) {
  const NodeSet carries =
      ancestors(graph, {value}, [&](const Node&, ValueRef operand) { return run.bad(operand, nan); });
  NodeId constant = no_node;
  for (const NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (!carries.contains(id) || std::ranges::any_of(node.operands, [&](ValueRef ref) { return run.bad(ref, nan); }))
      continue;
    if (!is_constant(node)) return id;
    if (constant == no_node) constant = id;
  }
  return constant;
}

NonFiniteNode found_at(const Graph& graph, const Watched& run, NodeId id, bool nan, const std::string& reached) {
  const Node& node = graph.node(id);
  NonFiniteNode found;
  found.path = node.name;
  found.op = node.op->name;
  found.where = weft::str(node.where);
  found.pass = node.provenance.pass;
  found.nan = nan;
  found.reached = reached;
  for (std::uint32_t k = static_cast<std::uint32_t>(node.types.size()); k-- > 0;)
    if (run.bad(ValueRef{id, k}, nan)) found.output = *run.range({id, k});
  for (const ValueRef& ref : node.operands) {
    if (const ValueRange* range = run.range(ref); range != nullptr) found.inputs.push_back(*range);
    if (!nan || !run.bad(ref, false) || !found.infinity.empty()) continue;
    const NodeId origin = origin_of(graph, run, graph.value(ref), false);
    if (!is_constant(graph.node(origin))) found.infinity.push_back(found_at(graph, run, origin, false, node.name));
  }
  return found;
}

std::vector<NamedResult> results_of(const Step& step) {
  std::vector<NamedResult> results;
  if (step.loss_value.valid()) results.push_back({step.loss_value, "the loss"});
  for (const Gradient& gradient : step.gradients)
    results.push_back({gradient.value, "the gradient of " + gradient.parameter.name()});
  for (const Update& update : step.updates) results.push_back({update.value, "the update of " + update.state.name()});
  return results;
}

}  // namespace

std::optional<NonFiniteNode> first_nonfinite(const Step& step, const std::vector<NamedResult>& results,
                                             const Store& store, std::span<const Feed> feeds) {
  const Watched run(step, results, store, feeds);
  for (const bool nan : {true, false})
    for (const NamedResult& result : results)
      if (run.bad(result.value.ref(), nan))
        return found_at(step.graph, run, origin_of(step.graph, run, result.value, nan), nan, result.what);
  return std::nullopt;
}

std::optional<NonFiniteNode> first_nonfinite(const Step& step, const Store& store, std::span<const Feed> feeds) {
  return first_nonfinite(step, results_of(step), store, feeds);
}

namespace {

std::string numbers_of(const ValueRange& range) {
  const auto& [path, type, where, least, most, nan, infinite, elements] = range;
  std::string text = type + ": ";
  text += std::isnan(least) ? "nothing finite" : fmt::format("{:.4g} to {:.4g}", least, most);
  if (nan > 0) text += fmt::format(", {} NaN", nan);
  if (infinite > 0) text += fmt::format(", {} infinite", infinite);
  if (nan + infinite > 0) text += fmt::format(" of {}", elements);
  return text;
}

}  // namespace

std::string ValueRange::str() const { return fmt::format("{} ({}) {}", path, where, numbers_of(*this)); }

std::string NonFiniteNode::str() const {
  std::string text = fmt::format("{} begins in {} [{}] ({}){}, and reaches {}\n  gives {}\n", nan ? "NaN" : "infinity",
                                 path, op, where, pass.empty() ? "" : ", made by " + pass, reached,
                                 (output.path == path ? "" : output.path + " ") + numbers_of(output));
  for (const ValueRange& input : inputs) text += fmt::format("  reads {}\n", input.str());
  const bool too_large = std::ranges::any_of(inputs, [](const ValueRange& input) { return input.infinite > 0; });
  if (inputs.empty()) {  // nothing computes it
    const bool cell = op == "parameter" || op == "state";
    return text + (op == "input" ? "  hint: it is fed so: look at the data, or at what prepares it\n"
                   : cell ? "  hint: the store holds it so: an earlier update wrote it (scale_loss(dynamic_scale()) "
                            "skips such an update), or it "
                            "was loaded so\n"
                          : "  hint: the constant itself is not finite: keep it out of what reaches the result\n");
  }
  text += too_large ? "  hint: an operand is infinite: bound what makes it (a scale, a maximum, log_softmax instead of "
                      "log of softmax)\n"
                    : "  hint: keep its operands where it is finite (an epsilon under a root or a division, a clamp "
                      "before log or exp)\n";
  for (const NonFiniteNode& origin : infinity) text += origin.str();
  return text;
}

}  // namespace weft
