#include <weft/inspect/divergence/first_nonfinite.h>

#include <weft/graph/at_batch.h>
#include <weft/optim/gather.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace weft {
namespace {

ValueRange range_of(const Value& value, const Tensor& tensor) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  ValueRange range{
      .path = value.name(), .type = value.type().str(), .least = none, .most = none, .elements = tensor.size()};
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    const double x = tensor.at(i);
    if (std::isnan(x)) ++range.nan;
    else if (std::isinf(x)) ++range.infinite;
    else {
      range.least = std::isnan(range.least) ? x : std::min(range.least, x);
      range.most = std::isnan(range.most) ? x : std::max(range.most, x);
    }
  }
  return range;
}

struct Root {
  ValueRef ref;
  std::string what;
};

// One run with all floating values fetched.
class Watched {
 public:
  Watched(const Step& step, const Store& store, std::span<const Feed> feeds) : step_(step) {
    Step all = step.over(step.graph.clone());
    all.lowered = false;
    std::vector<std::vector<BatchState>> states;
    if (step.micro_batches > 1) states = batch_states(all.graph, step.micro_batches);
    const std::vector<NodeId> ids(step.graph.ids().begin(), step.graph.ids().end());  // gathering adds nodes
    std::map<ValueRef, std::string> names;
    for (const NodeId id : ids) {
      const std::size_t outputs = all.graph.node(id).types.size();
      for (std::uint32_t k = 0; k < outputs; ++k) {
        Value value = all.graph.value(id, k);
        if (!is_float(value.dtype())) continue;
        const Node& node = value.node();
        if (step.micro_batches > 1 && node.phase == Phase::micro && !node.op->traits.source) {
          const BatchState& state = states[id][k];
          if (state.kind != BatchState::Kind::split && state.kind != BatchState::Kind::summed) continue;
          const auto pass = all.graph.made_by("first_nonfinite", id);
          value = gathered(value, state, step.micro_batches);
        }
        names[{id, k}] = fmt::format("value/{}.{}", id, k);
        all.set_fetch(names[{id, k}], value);
      }
    }
    Store copy = store.clone();
    Program program(all, copy);
    const Result result = program.run(feeds);
    for (const auto& [ref, name] : names) ranges_.emplace(ref, range_of(step.graph.value(ref), result.tensor(name)));
  }

  const ValueRange* range(ValueRef ref) const {
    const auto at = ranges_.find(ref);
    return at == ranges_.end() ? nullptr : &at->second;
  }
  bool bad(ValueRef ref, bool nan) const {
    const ValueRange* found = ref.node == no_node ? nullptr : range(ref);
    return found != nullptr && (nan ? found->nan : found->infinite) > 0;
  }
  bool bad(const Node& node, bool nan) const {
    for (std::uint32_t k = 0; k < node.types.size(); ++k)
      if (bad(ValueRef{node.id, k}, nan)) return true;
    return false;
  }

 private:
  const Step& step_;
  std::map<ValueRef, ValueRange> ranges_;
};

std::vector<Root> roots_of(const Step& step) {
  std::vector<Root> roots;
  if (step.loss_value.valid()) roots.push_back({step.loss_value.ref(), "the loss"});
  for (const Gradient& gradient : step.gradients)
    roots.push_back({gradient.value.ref(), "the gradient of " + gradient.parameter.name()});
  for (const Update& update : step.updates)
    roots.push_back({update.value.ref(), "the update of " + update.state.name()});
  return roots;
}

// The first node from which NaN (or infinity) comes to a root through values that hold it, and the root.
std::optional<std::pair<NodeId, std::string>> origin_of(const Step& step, const Watched& run, bool nan) {
  const Graph& graph = step.graph;
  for (const Root& root : roots_of(step)) {
    if (!run.bad(root.ref, nan)) continue;
    std::vector<bool> on_the_way(graph.next_id(), false);
    on_the_way[root.ref.node] = true;
    std::optional<NodeId> first;
    for (auto id = graph.ids().rbegin(); id != graph.ids().rend(); ++id) {
      if (!on_the_way[*id]) continue;
      const Node& node = graph.node(*id);
      bool inherited = false;
      for (const ValueRef& ref : node.operands)
        if (run.bad(ref, nan)) {
          on_the_way[ref.node] = true;
          inherited = true;
        }
      if (!inherited) first = *id;  // in the end the one that was built first
    }
    if (first) return std::pair{*first, root.what};
  }
  return std::nullopt;
}

}  // namespace

std::optional<NonFiniteNode> first_nonfinite(const Step& step, const Store& store, std::span<const Feed> feeds) {
  const Watched run(step, store, feeds);
  for (const bool nan : {true, false}) {
    const auto origin = origin_of(step, run, nan);
    if (!origin) continue;
    const Node& node = step.graph.node(origin->first);
    NonFiniteNode found;
    found.path = node.name;
    found.op = node.op->name;
    found.where = weft::str(node.where);
    found.pass = node.provenance.pass;
    found.nan = nan;
    found.reached = origin->second;
    for (std::uint32_t k = static_cast<std::uint32_t>(node.types.size()); k-- > 0;)
      if (run.bad(ValueRef{node.id, k}, nan)) found.output = *run.range({node.id, k});
    for (const ValueRef& ref : node.operands)
      if (const ValueRange* range = ref.node == no_node ? nullptr : run.range(ref); range != nullptr)
        found.inputs.push_back(*range);
    return found;
  }
  return std::nullopt;
}

std::string ValueRange::str() const {
  std::string text = fmt::format("{} {}: ", path, type);
  text += std::isnan(least) ? "nothing finite" : fmt::format("{:.4g} to {:.4g}", least, most);
  if (nan > 0) text += fmt::format(", {} NaN", nan);
  if (infinite > 0) text += fmt::format(", {} infinite", infinite);
  if (nan + infinite > 0) text += fmt::format(" of {}", elements);
  return text;
}

std::string NonFiniteNode::str() const {
  std::string text = fmt::format("{} begins in {} [{}] ({}){}, and reaches {}\n  gives {}\n", nan ? "NaN" : "infinity",
                                 path, op, where, pass.empty() ? "" : ", made by " + pass, reached, output.str());
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
  return text;
}

}  // namespace weft
