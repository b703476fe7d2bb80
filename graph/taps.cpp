#include <weft/graph/taps.h>

#include <weft/graph/reach.h>
#include <weft/graph/rewrite.h>

#include <algorithm>
#include <cstring>

namespace weft {
namespace {

constexpr std::string_view prefix = "tap ", folder = "tap/";  // facts outlive passes that replace the fetched values

bool is_tap(const Step& step, const Fetch& fetch) { return step.facts.contains(std::string(prefix) + fetch.name); }

Step without_taps(Step step) {
  WEFT_CHECK(!taps_of(step).empty(),
             "remove_taps: nothing taps this step; hint: step | tap_attention() | ... | remove_taps()");
  std::erase_if(step.fetches, [&](const Fetch& fetch) { return is_tap(step, fetch); });
  std::erase_if(step.facts, [](const Fact& held) { return held.name().starts_with(prefix); });

  const Graph& graph = step.graph;
  const NodeSet by_others = ancestors(graph, step.values([](const StepRole&) { return true; }));
  const auto ids = graph.ids();
  std::vector<bool> keeps(ids.size(), true), read(graph.next_id(), false);
  for (std::size_t i = ids.size(); i-- > 0;) {
    const Node& node = graph.node(ids[i]);
    const bool of_tap = node.name.starts_with(folder) && !node.provenance.pass.empty();
    keeps[i] = read[node.id] || by_others.contains(node.id) || !of_tap;
    for (const ValueRef& ref : node.operands)
      if (keeps[i] && ref.node != no_node) read[ref.node] = true;
  }
  Rebuild rebuild(graph, "remove_taps");
  for (std::size_t i = 0; i < ids.size(); ++i)
    keeps[i] ? rebuild.keep(graph.node(ids[i])) : rebuild.drop(graph.node(ids[i]));
  return step.over(rebuild.finish());
}

}  // namespace

TapScope::TapScope(Graph graph, std::string_view path, std::string_view pass, NodeId origin)
    : path_(graph.scope(std::string(folder) + std::string(path))), origin_(graph.made_by(pass, origin)) {}

void add_tap(Step& step, const std::string& name, const Value& value) {
  const bool tapped = step.facts.contains(std::string(prefix) + name);
  WEFT_CHECK(!step.has_fetch(name), "this step publishes '{}' already; hint: {}", name,
             tapped ? "it is tapped: take that out first, step | remove_taps()"
                    : "a fetch of yours has that name, which a tap needs: give it another");
  step.set_fetch(name, value);
  step.facts.insert(std::string(prefix) + name);
}

void add_tap(Step& step, const std::string& name, const std::vector<std::int64_t>& numbers) {
  Constant constant{{i64, {static_cast<std::int64_t>(numbers.size())}}, {}};
  constant.bytes.resize(constant.type.bytes());
  std::memcpy(constant.bytes.data(), numbers.data(), constant.bytes.size());
  const auto phase = step.graph.phase(Phase::step);
  add_tap(step, name, step.graph.constant(std::move(constant)));
}

std::vector<std::string> taps_of(const Step& step) {
  std::vector<std::string> names;
  for (const Fetch& fetch : step.fetches)
    if (is_tap(step, fetch)) names.push_back(fetch.name);
  std::ranges::sort(names);
  return names;
}

Transform remove_taps(std::source_location where) {
  const UserLine line(where);
  return {.name = "remove_taps", .claim = Claim::same_bits, .apply = without_taps};
}

}  // namespace weft
