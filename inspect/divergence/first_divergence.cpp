#include <weft/inspect/divergence/first_divergence.h>

#include <weft/autodiff/gradient.h>
#include <weft/inspect/divergence/compare.h>
#include <weft/inspect/divergence/whole_values.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <set>
#include <vector>

namespace weft {
namespace {

// Whether `node` is what a pass made of `origin` to stand for it: the same op over the same operands, or over their
// copies.
bool copies(const Node& origin, const Node& node, const std::map<NodeId, NodeId>& aligned) {
  if (node.op != origin.op || node.operands.size() != origin.operands.size()) return false;
  for (std::size_t i = 0; i < node.operands.size(); ++i) {
    const ValueRef mine = node.operands[i], its = origin.operands[i];
    if (mine.node == no_node || its.node == no_node) {
      if (mine.node != its.node) return false;
      continue;
    }
    const auto at = aligned.find(mine.node);
    if (at == aligned.end() || at->second != its.node || mine.output != its.output) return false;
  }
  return true;
}

enum class Part { forward, backward, update };

Part part_of(const Node& node) {
  if (node.phase == Phase::step) return Part::update;
  return node.provenance.pass == gradient_pass ? Part::backward : Part::forward;
}

// A value of both steps, fetched under one name.
struct Pair {
  ValueRef found, expected;
  std::string name;  ///< "": their types do not agree
  Part part = Part::forward;
};

// Whether ids mean the same in both graphs.
bool related(const Graph& a, const Graph& b) {
  return std::ranges::any_of(b.ids(), [&](NodeId id) { return a.contains(b.value(id)); });
}

// In build order of `found`; each is fetched from both.
std::vector<Pair> fetch_pairs(WholeValues& expected, WholeValues& found, const std::map<NodeId, NodeId>& aligned,
                              bool updates, bool apart) {
  std::set<ValueRef> seeds;
  for (const Value& seed : found.step().seeds)
    if (seed.valid()) seeds.insert(seed.ref());
  const std::span<const NodeId> all = found.step().graph.ids();
  const std::vector<NodeId> ids(all.begin(), all.end());  // gathering adds nodes
  std::vector<Pair> pairs;
  for (const NodeId id : ids) {
    const auto at = aligned.find(id);
    if (at == aligned.end()) continue;
    const Node& node = found.step().graph.node(id);
    if (node.op->traits.source || (!updates && part_of(node) == Part::update)) continue;
    const auto count = static_cast<std::uint32_t>(node.types.size());
    for (std::uint32_t k = 0; k < count; ++k) {
      if (!found.is_read({id, k}) || !expected.is_read({at->second, k})) continue;
      const Value mine = found.of({id, k}), its = expected.of({at->second, k});
      if (!mine.valid() || !its.valid()) continue;
      const Part part = seeds.contains({id, k}) ? Part::backward : part_of(found.step().graph.node(id));
      if (mine.shape().extents() != its.shape().extents() || is_float(mine.dtype()) != is_float(its.dtype())) {
        if (apart) pairs.push_back({{id, k}, {at->second, k}, "", part});
        continue;
      }
      pairs.push_back({{id, k}, {at->second, k}, fmt::format("align/{}", pairs.size()), part});
      found.step().set_fetch(pairs.back().name, mine);
      expected.step().set_fetch(pairs.back().name, its);
    }
  }
  return pairs;
}

double factor_between(const Tensor& expected, const Tensor& found) {
  double along = 0, square = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(expected.at(i)) || !std::isfinite(found.at(i))) continue;
    along += expected.at(i) * found.at(i);
    square += expected.at(i) * expected.at(i);
  }
  return square > 0 ? along / square : 1;
}

// Nodes on the way to `node`'s operands that the first step does not have.
std::string inserted_before(const Graph& graph, const Node& node, const std::map<NodeId, NodeId>& aligned) {
  std::vector<NodeId> open{node.id};
  std::set<NodeId> seen;
  std::string text;
  for (std::size_t i = 0; i < open.size() && seen.size() < 4; ++i)
    for (const ValueRef ref : graph.node(open[i]).operands) {
      if (ref.node == no_node || aligned.contains(ref.node) || !seen.insert(ref.node).second) continue;
      const Node& other = graph.node(ref.node);
      if (other.op->traits.source) continue;
      const std::string maker = other.provenance.pass.empty() ? "" : " by " + other.provenance.pass;
      text += fmt::format("{}{} [{}]{}", text.empty() ? "" : ", ", other.name, other.op->name, maker);
      open.push_back(ref.node);
    }
  return text;
}

}  // namespace

std::string inserted_before(const Step& expected, const Step& found, const Value& value) {
  return inserted_before(found.graph, value.node(), align(expected, found));
}

std::map<NodeId, NodeId> align(const Step& expected, const Step& found) {
  std::map<NodeId, NodeId> aligned;
  const bool apart = !related(expected.graph, found.graph);
  for (const NodeId id : found.graph.ids()) {
    const Node& node = found.graph.node(id);
    if (!apart && expected.graph.has(id)) {
      const Node& same = expected.graph.node(id);
      if (same.name == node.name && same.op == node.op) {
        aligned[id] = id;
        continue;
      }
    }
    const Value named = expected.graph.find_name(node.name);
    // Of one step's forms only of the nodes that transforms add under scopes of their own: elsewhere a name may go to
    // another node of its op.
    if (named.valid() && named.node().op == node.op &&
        (apart || (node.phase == Phase::step && named.node().phase == Phase::step))) {
      aligned[id] = named.ref().node;
      continue;
    }
    if (apart) continue;
    const NodeId origin = node.provenance.origin;
    if (origin == no_node || !found.graph.has(origin)) {
      if (origin != no_node && expected.graph.has(origin) && copies(expected.graph.node(origin), node, aligned))
        aligned[id] = origin;
      continue;
    }
    const auto at = aligned.find(origin);
    if (at != aligned.end() && copies(expected.graph.node(at->second), node, aligned)) aligned[id] = at->second;
  }
  return aligned;
}

namespace {

bool has_input(const Graph& graph, std::string_view name) {
  return std::ranges::any_of(graph.inputs(), [&](const Value& input) { return input.name() == name; });
}

// What the two sides run on: feeds and cells in the types of each, and how each is planned.
struct Side {
  WholeValues values;
  Store store;
  std::deque<Tensor> converted;
  std::vector<Feed> feeds;
  int threads = 0;

  Side(const Step& step, const Store* given, std::uint64_t seed, bool as_lowered, int count)
      : values(step, "first_divergence", as_lowered),
        store(given != nullptr ? given->clone() : Store(step, {.seed = seed})),
        threads(count) {}

  // What only the other graph reads is left out.
  void feed(std::span<const Feed> given, const Graph& other) {
    const Graph& graph = values.step().graph;
    for (const Feed& feed : given) {
      if (!has_input(graph, feed.name) && has_input(other, feed.name)) continue;
      const Value input = graph.find_name(feed.name);
      const bool casts = input.valid() && is_float(input.dtype()) && is_float(feed.tensor->dtype()) &&
                         input.dtype() != feed.tensor->dtype();
      if (casts) converted.push_back(feed.tensor->cast(input.dtype()));
      feeds.emplace_back(feed.name, casts ? converted.back() : *feed.tensor);
    }
  }
};

// Numbers that both types can hold.
void start_alike(Store& a, Store& b) {
  for (const auto& [path, cell] : a.cells()) {
    if (!b.has(path)) continue;
    const Tensor &mine = cell.tensor, &its = b.tensor(path);
    if (!is_float(mine.dtype()) || !is_float(its.dtype()) || mine.extents() != its.extents()) continue;
    if (size_of(mine.dtype()) > size_of(its.dtype())) a.set(path, its.cast(mine.dtype()));
    if (size_of(mine.dtype()) < size_of(its.dtype())) b.set(path, mine.cast(its.dtype()));
  }
}

std::map<std::string, Tensor> results(Side& side, const std::vector<Pair>& pairs) {
  const ThreadsScope scope(side.threads);
  Program program(side.values.step(), side.store);
  const Result result = program.run(side.feeds);
  std::map<std::string, Tensor> found;
  for (const Pair& pair : pairs)
    if (!pair.name.empty()) found[pair.name] = result.tensor(pair.name).clone();
  return found;
}

void locate(Divergence& divergence, const Pair& pair, const Step& expected, const Step& found,
            const std::map<NodeId, NodeId>& aligned) {
  const Node &node = found.graph.node(pair.found.node), &origin = expected.graph.node(pair.expected.node);
  divergence.path = found.graph.value(pair.found).name();
  divergence.where = str(node.where);
  divergence.op = node.op->name;
  divergence.pass = node.provenance.pass;
  divergence.origin = expected.graph.value(pair.expected).name();
  divergence.origin_where = str(origin.where);
  divergence.inserted = inserted_before(found.graph, node, aligned);
}

std::optional<Divergence> diverge(const Step& expected, const Step& found, std::span<const Feed> feeds,
                                  const DivergenceOptions& options, bool as_lowered) {
  const std::map<NodeId, NodeId> aligned = align(expected, found);
  const bool apart = !related(expected.graph, found.graph);
  WEFT_CHECK(!apart || std::ranges::any_of(
                           aligned, [&](const auto& pair) { return !found.graph.node(pair.first).op->traits.source; }),
             "first_divergence: of two graphs that were built apart no node has the same path and op; hint: give "
             "modules the same "
             "scopes in both, graph.scope(\"block\")");
  Side one(expected, options.expected_store, options.seed, as_lowered, options.expected_threads);
  Side other(found, options.found_store, options.seed, as_lowered, options.found_threads);
  const std::vector<Pair> pairs = fetch_pairs(one.values, other.values, aligned, options.updates, apart);
  if (pairs.empty()) return std::nullopt;
  if (options.expected_store == nullptr && options.found_store == nullptr) start_alike(one.store, other.store);
  one.feed(feeds, found.graph);
  other.feed(feeds, expected.graph);
  const auto a = results(one, pairs), b = results(other, pairs);

  double scales[3] = {};  // the largest number of each part: what is far below it is noise
  for (const Pair& pair : pairs)
    if (!pair.name.empty()) {
      double& scale = scales[static_cast<int>(pair.part)];
      scale = std::max(scale, max_abs(a.at(pair.name)));
    }
  const Allowance allowance{options.relative, options.absolute, options.ulps};
  const bool other_seeds = expected.loss_scale || found.loss_scale || expected.micro_batches != found.micro_batches;
  for (const Pair& pair : pairs) {
    if (pair.name.empty()) {
      Divergence result;
      result.mismatch = fmt::format("is {}, expected {}", found.graph.type(pair.found).str(),
                                    expected.graph.type(pair.expected).str());
      locate(result, pair, expected, found, aligned);
      return result;
    }
    const Tensor &x = a.at(pair.name), &y = b.at(pair.name);
    const bool direction = other_seeds && !allowance.exact() && pair.part == Part::backward;
    const double factor = direction ? factor_between(x, y) : 1;
    std::optional<Divergence> result =
        divergence_of(x, y, allowance, factor, 1e-2 * scales[static_cast<int>(pair.part)]);
    if (!result) continue;
    locate(*result, pair, expected, found, aligned);
    result->direction = direction;
    return result;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Divergence> first_divergence(const Step& expected, const Step& found, std::span<const Feed> feeds,
                                           const DivergenceOptions& options) {
  return diverge(expected, found, feeds, options, false);
}

std::optional<Divergence> first_divergence(const Program& expected, const Program& found, std::span<const Feed> feeds,
                                           const DivergenceOptions& options) {
  DivergenceOptions own = options;
  if (own.expected_store == nullptr) own.expected_store = &expected.store();
  if (own.found_store == nullptr) own.found_store = &found.store();
  if (own.expected_threads == 0) own.expected_threads = expected.plan().threads;
  if (own.found_threads == 0) own.found_threads = found.plan().threads;
  return diverge(expected.plan().step, found.plan().step, feeds, own, true);
}

std::optional<Divergence> first_divergence_of_threads(const Step& step, std::span<const Feed> feeds,
                                                      const std::vector<int>& counts,
                                                      const DivergenceOptions& options) {
  WEFT_CHECK(counts.size() >= 2, "first_divergence_of_threads compares at least two numbers of threads, got {}",
             counts.size());
  for (std::size_t i = 1; i < counts.size(); ++i) {
    DivergenceOptions pair = options;
    pair.expected_threads = counts.front();
    pair.found_threads = counts[i];
    if (std::optional<Divergence> found = first_divergence(step, step, feeds, pair)) {
      found->sides = fmt::format("{} threads against {}", counts[i], counts.front());
      return found;
    }
  }
  return std::nullopt;
}

std::string Divergence::str() const {
  std::string text = fmt::format("{} ({}) [{}]", path, where, op);
  if (!pass.empty()) text += fmt::format(", made by {}", pass);
  if (origin != path || (origin_where != where && !origin_where.empty()))
    text += fmt::format(", stands for {}{}", origin, origin_where.empty() ? "" : fmt::format(" ({})", origin_where));
  if (!sides.empty()) text += fmt::format(", {}", sides);
  if (!mismatch.empty()) return text + ": " + mismatch;
  const auto number = [](double x) { return std::isnan(x) ? std::string("NaN") : fmt::format("{:.9g}", x); };
  text += fmt::format(": element {}{} is {}, expected {}", element,
                      extents.size() > 1 ? " " + index_str(element, extents) : "", number(found), number(expected));
  if (std::isfinite(error)) text += fmt::format("; the difference {:.3g} is over the bound {:.3g}", error, bound);
  if (direction) text += " (up to one factor)";
  text += fmt::format("; {} of {} elements differ", differing, compared);
  if (!inserted.empty()) text += fmt::format("; its operands go through {}", inserted);
  return text;
}

}  // namespace weft
