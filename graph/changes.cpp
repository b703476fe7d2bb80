#include <weft/graph/changes.h>

#include <weft/graph/graph_data.h>

#include <algorithm>
#include <map>
#include <ostream>

namespace weft {
namespace {

bool same_node(const Node& a, const Node& b) {
  return a.operands == b.operands && a.attributes == b.attributes && a.types == b.types && a.phase == b.phase;
}

std::string joined(const std::vector<std::string>& names, const char* between = ", ") {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : between) + name;
  return text;
}

// Long lists by their number and first names.
std::string shortened(const std::vector<std::string>& names) {
  if (names.size() <= 6) return joined(names);
  return fmt::format("{}, ... ({} in all)", joined({names.begin(), names.begin() + 4}), names.size());
}

}  // namespace

Changes changes(const Step& before, const Step& after) {
  WEFT_CHECK(
      before.graph.data()->family == after.graph.data()->family,
      "changes() compares two forms of one step, these were built apart; hint: compare a step with what a transform "
      "made of it");
  Changes result;
  const std::vector<std::string> old_names = before.history(), new_names = after.history();
  const auto parted = std::ranges::mismatch(old_names, new_names);
  result.transforms.assign(parted.in2, new_names.end());

  using Key = std::pair<std::string, Phase>;
  std::map<Key, Changes::Count> counts;
  auto count = [&](const Node& node) -> Changes::Count& {
    Changes::Count& found = counts[{node.op->name, node.phase}];
    found.op = node.op->name;
    found.phase = node.phase;
    return found;
  };
  for (const NodeId id : after.graph.ids()) {
    const Node& node = after.graph.node(id);
    ++result.nodes;
    if (before.graph.has(id)) {
      if (!same_node(before.graph.node(id), node)) ++result.rewritten;
      continue;
    }
    ++result.added;
    ++count(node).added;
  }
  for (const NodeId id : before.graph.ids())
    if (!after.graph.has(id)) {
      ++result.removed;
      ++count(before.graph.node(id)).removed;
    }
  for (const auto& [key, value] : counts) result.ops.push_back(value);

  for (const Fetch& fetch : after.fetches)
    if (!before.has_fetch(fetch.name)) result.published.push_back(fetch.name);
  for (const Fetch& fetch : before.fetches)
    if (!after.has_fetch(fetch.name)) result.dropped.push_back(fetch.name);
  for (const Value& state : after.graph.states())
    if (!before.graph.has(state.ref().node)) result.states.push_back(state.node().name);
  result.micro_batches = after.micro_batches;
  return result;
}

bool Changes::none() const {
  return added == 0 && removed == 0 && rewritten == 0 && published.empty() && dropped.empty();
}

std::string Changes::str() const {
  std::string text =
      fmt::format("{}: {} nodes added, {} removed, {} rewritten; {} in all\n",
                  transforms.empty() ? "nothing" : joined(transforms, " | "), added, removed, rewritten, nodes);
  for (const Phase phase : {Phase::micro, Phase::step}) {
    std::vector<std::string> ops;
    for (const Count& count : this->ops) {
      if (count.phase != phase) continue;
      std::string part;
      if (count.added > 0) part += fmt::format("+{}", count.added);
      if (count.removed > 0) part += fmt::format("{}-{}", part.empty() ? "" : " ", count.removed);
      ops.push_back(fmt::format("{} {}", part, count.op));
    }
    if (!ops.empty())
      text += fmt::format("  {}: {}\n", phase == Phase::micro ? "for each micro-batch" : "for each step", joined(ops));
  }
  if (!states.empty()) text += fmt::format("  keeps: {}\n", shortened(states));
  if (!published.empty()) text += fmt::format("  publishes: {}\n", shortened(published));
  if (!dropped.empty()) text += fmt::format("  publishes no more: {}\n", shortened(dropped));
  if (micro_batches > 1) text += fmt::format("  a run has {} micro-batches\n", micro_batches);
  return text;
}

std::ostream& operator<<(std::ostream& out, const Changes& changes) { return out << changes.str(); }

}  // namespace weft
