#include <weft/autodiff/remat/choice.h>
#include <weft/graph/glob.h>
#include <weft/graph/reach.h>

#include <algorithm>

namespace weft::remat {
namespace {

// Stored values of the lowered step that are a choice, by the node of the step that people read.
std::vector<std::pair<std::string, std::vector<int>>> choices(const RematGraph& graph, const Step& step) {
  std::vector<std::pair<std::string, std::vector<int>>> found;
  for (NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    std::vector<int> stored;
    for (std::uint32_t k = 0; k < node.types.size(); ++k) {
      const Value value = step.graph.value(id, k);
      if (!graph.step.graph.contains(value)) continue;
      const int s = graph.stored_at(graph.step.graph.find(value).ref());
      if (graph.at(s).choice) stored.push_back(s);
    }
    if (!stored.empty()) found.emplace_back(node.name, std::move(stored));
  }
  return found;
}

class Chooser {
 public:
  Chooser(const RematGraph& graph, const Step& step) : graph_(graph), step_(step), choices_(choices(graph, step)) {}

  // Which stored values the picks mean.
  std::vector<bool> picked(const std::vector<Pick>& picks, std::string_view what) const {
    std::vector<bool> marked(graph_.stored.size(), false);
    for (const Pick& pick : picks) {
      if (!pick.value.absent()) mark_value(marked, pick.value, what);
      else mark_glob(marked, pick.glob, what);
    }
    return marked;
  }

  void mark_glob(std::vector<bool>& marked, const std::string& glob, std::string_view what) const {
    bool any = false;
    for (const auto& [name, stored] : choices_) {
      if (!matches(glob, name)) continue;
      any = true;
      for (int s : stored) marked[static_cast<std::size_t>(s)] = true;
    }
    std::string first;
    for (std::size_t i = 0; i < std::min<std::size_t>(4, choices_.size()); ++i)
      first += (i == 0 ? "" : ", ") + choices_[i].first;
    WEFT_CHECK(any, "{} '{}' matches no value of the forward pass; hint: the first of {} are {}", what, glob,
               choices_.size(), first.empty() ? "none" : first);
  }

 private:
  void mark_value(std::vector<bool>& marked, const Value& value, std::string_view what) const {
    const Value here = graph_.step.find(step_.find(value));
    const int s = graph_.stored_at(here.ref());
    WEFT_CHECK(graph_.at(s).choice, "{} names {} ({}), which is not computed in the forward pass or may not run twice",
               what, here.name(), str(here.node().where));
    marked[static_cast<std::size_t>(s)] = true;
  }

  const RematGraph& graph_;
  const Step& step_;
  std::vector<std::pair<std::string, std::vector<int>>> choices_;
};

void by_policy(const RematGraph& graph, const SavePolicy& policy, Saved& saved) {
  const NodeSet fed = descendants(graph.step.graph, graph.step.graph.inputs());
  for (const Op& op : graph.ops) {
    if (!op.recomputable || op.view) continue;
    const Node& node = graph.step.graph.node(op.id);
    PolicyNode seen{.graph = graph.step.graph,
                    .node = node,
                    .cost = cost_of(graph.step.graph.view(node)->view),
                    .expensive = op.expensive,
                    .product = op.expensive && !node.op->traits.pointwise};
    for (const TensorType& type : node.types) seen.bytes += type.bytes();
    for (int read : op.reads) seen.reads_weight |= !fed.contains(graph.at(read).owner.node);
    const bool keep = policy.saves(seen);
    for (int s : op.writes) saved[static_cast<std::size_t>(s)] = keep;
  }
}

}  // namespace

Saved choose(const RematGraph& graph, const Step& step, const CheckpointOptions& options) {
  const Chooser chooser(graph, step);
  Saved saved(graph.stored.size(), options.save.empty() || !options.recompute.empty());
  if (options.policy) {
    by_policy(graph, *options.policy, saved);
    std::vector<bool> named(graph.stored.size(), false);
    for (const std::string& glob : options.policy->globs) chooser.mark_glob(named, glob, options.policy->name);
    for (std::size_t s = 0; s < named.size(); ++s)
      if (named[s]) saved[s] = true;
  }
  const std::vector<bool> keep = chooser.picked(options.save, "save"),
                          again = chooser.picked(options.recompute, "recompute");
  for (std::size_t s = 0; s < saved.size(); ++s) {
    WEFT_CHECK(!keep[s] || !again[s], "{} is picked by both save and recompute",
               graph.step.graph.value(graph.stored[s].owner).name());
    if (keep[s]) saved[s] = true;
    if (again[s]) saved[s] = false;
  }
  return saved;
}

}  // namespace weft::remat
