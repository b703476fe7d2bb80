#include <weft/graph/at_batch.h>
#include <weft/optim/first_divergence.h>
#include <weft/optim/gather.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>
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
  return node.provenance.pass == "gradient" ? Part::backward : Part::forward;
}

// Values of one step as a run gives them: those of micro-batches put side by side or added up.
class Whole {
 public:
  explicit Whole(const Step& step) : step_(step.over(step.graph.clone())) {
    step_.lowered = false;
    for (const NodeId id : step_.graph.ids())
      for (const ValueRef ref : step_.graph.node(id).operands) read_.insert(ref);
    for (const Value& root : step_.roots()) read_.insert(root.ref());
    for (const Gradient& gradient : step_.gradients) read_.insert(gradient.value.ref());
    if (step_.micro_batches > 1) states_ = batch_states(step_.graph, step_.micro_batches);
  }

  /// Absent where a run gives only that of the last micro-batch.
  Value of(ValueRef ref) {
    const Value value = step_.graph.value(ref);
    const Node& node = value.node();
    if (step_.micro_batches == 1 || node.phase == Phase::step) return value;
    const BatchState& state = states_[ref.node][ref.output];
    using Kind = BatchState::Kind;
    if (state.kind != Kind::split && state.kind != Kind::summed) return {};
    // i32, i64 and floats add up; only those that split may be bool.
    if (state.kind == Kind::summed && value.dtype() == boolean) return {};
    const auto pass = step_.graph.made_by("first_divergence", ref.node);
    return gathered(value, state, step_.micro_batches);
  }
  /// Whether anybody reads the value: a kernel may leave out what nobody does (the clones of checkpoint).
  bool is_read(ValueRef ref) const { return read_.contains(ref); }
  Step& step() { return step_; }

 private:
  Step step_;
  std::set<ValueRef> read_;
  std::vector<std::vector<BatchState>> states_;
};

// A value of both steps, fetched under one name.
struct Pair {
  ValueRef found, expected;
  std::string name;
  Part part = Part::forward;
};

// In build order of `found`; each is fetched from both.
std::vector<Pair> fetch_pairs(Whole& expected, Whole& found, const std::map<NodeId, NodeId>& aligned, bool updates) {
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
      if (!mine.valid() || !its.valid() || mine.shape().extents() != its.shape().extents() ||
          is_float(mine.dtype()) != is_float(its.dtype()))
        continue;
      const Part part = seeds.contains({id, k}) ? Part::backward : part_of(found.step().graph.node(id));
      pairs.push_back({{id, k}, {at->second, k}, fmt::format("align/{}", pairs.size()), part});
      found.step().set_fetch(pairs.back().name, mine);
      expected.step().set_fetch(pairs.back().name, its);
    }
  }
  return pairs;
}

double largest(const Tensor& tensor) {
  double most = 0;
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (std::isfinite(tensor.at(i))) most = std::max(most, std::abs(tensor.at(i)));
  return most;
}

// |found - factor expected|, where two numbers that are both not finite are equal.
Divergence compare(const Tensor& expected, const Tensor& found, double factor) {
  Divergence result;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double a = factor * expected.at(i), b = found.at(i);
    double error = std::abs(a - b);
    if (!std::isfinite(a) || !std::isfinite(b))
      error = std::isfinite(a) == std::isfinite(b) ? 0 : std::numeric_limits<double>::infinity();
    if (error > result.error) result = {.element = i, .expected = a, .found = b, .error = error};
  }
  return result;
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
  for (const NodeId id : found.graph.ids()) {
    const Node& node = found.graph.node(id);
    if (expected.graph.has(id)) {
      const Node& same = expected.graph.node(id);
      if (same.name == node.name && same.op == node.op) {
        aligned[id] = id;
        continue;
      }
    }
    const Value named = expected.graph.find_name(node.name);
    // Only of the nodes that transforms add under scopes of their own: elsewhere a name may go to another node of its
    // op.
    if (named.valid() && named.node().op == node.op && node.phase == Phase::step && named.node().phase == Phase::step) {
      aligned[id] = named.ref().node;
      continue;
    }
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

std::optional<Divergence> first_divergence(const Step& expected, const Step& found, std::span<const Feed> feeds,
                                           const DivergenceOptions& options) {
  const std::map<NodeId, NodeId> aligned = align(expected, found);
  Whole first(expected), second(found);
  const std::vector<Pair> pairs = fetch_pairs(first, second, aligned, options.updates);
  if (pairs.empty()) return std::nullopt;
  auto store_of = [&](const Step& step, const Store* given) {
    return given != nullptr ? given->clone() : Store(step, {.seed = options.seed});
  };
  Store store = store_of(expected, options.expected_store), other_store = store_of(found, options.found_store);
  Program one(first.step(), store), other(second.step(), other_store);
  const Result a = one.run(feeds), b = other.run(feeds);

  double scales[3] = {};  // the largest number of each part: what is far below it is noise
  for (const Pair& pair : pairs) {
    double& scale = scales[static_cast<int>(pair.part)];
    scale = std::max(scale, largest(a.tensor(pair.name)));
  }
  const bool other_seeds = expected.loss_scale || found.loss_scale || expected.micro_batches != found.micro_batches;
  for (const Pair& pair : pairs) {
    const Tensor x = a.tensor(pair.name), y = b.tensor(pair.name);
    const bool direction = other_seeds && options.relative > 0 && pair.part == Part::backward;
    const double factor = direction ? factor_between(x, y) : 1;
    Divergence result = compare(x, y, factor);
    const bool numeric = is_float(x.dtype()) && options.relative > 0;
    result.bound =
        numeric ? options.relative * std::abs(factor) * (largest(x) + 1e-2 * scales[static_cast<int>(pair.part)]) : 0;
    const bool differs = numeric                  ? !(result.error <= result.bound)
                         : x.dtype() == y.dtype() ? !same_bits(x, y)
                                                  : result.error > 0;
    if (!differs) continue;
    const Node& node = found.graph.node(pair.found.node);
    result.path = found.graph.value(pair.found).name();
    result.where = str(node.where);
    result.pass = node.provenance.pass;
    result.origin = expected.graph.value(pair.expected).name();
    result.inserted = inserted_before(found.graph, node, aligned);
    result.direction = direction;
    return result;
  }
  return std::nullopt;
}

std::string Divergence::str() const {
  std::string text = fmt::format("{} ({})", path, where);
  if (!pass.empty()) text += fmt::format(", made by {}", pass);
  if (origin != path) text += fmt::format(", stands for {}", origin);
  text += fmt::format(": element {} is {:.9g}, expected {:.9g}; the difference {:.3g} is over the bound {:.3g}",
                      element, found, expected, error, bound);
  if (direction) text += " (up to one factor)";
  if (!inserted.empty()) text += fmt::format("; its operands go through {}", inserted);
  return text;
}

}  // namespace weft
