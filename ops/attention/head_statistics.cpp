#include <weft/ops/attention/head_statistics.h>

#include <weft/ops/attention/attention.h>
#include <weft/ops/attention/tile.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>
#include <limits>
#include <string_view>

namespace weft {
namespace {

// --- what exists ---

constexpr double bias_that_masks = -1e4;

// Whether the node has no other rule of which pairs exist than those that are read below.
bool rules_are_known(const Node& node) {
  constexpr std::string_view known[] = {"scale",  "soft_cap", "dropout", "stream",
                                        "causal", "window",   "offset",  unread_outputs};
  return node.operands.size() <= AttentionIn::count &&
         std::all_of(node.attributes.begin(), node.attributes.end(), [&](const Attributes::Entry& entry) {
           return std::ranges::find(known, entry.name) != std::end(known);
         });
}

// By any rules: the pairs that get a weight where all products <q, k> are 0.
Value visible_by_weights(const Node& node, Values in) {
  const Value q = in[AttentionIn::q], k = in[AttentionIn::k];
  Graph graph = q.graph();
  in[AttentionIn::q] = zeros(graph, {q.dim(0), q.dim(1), q.dim(2), 1}, q.dtype());
  in[AttentionIn::k] = in[AttentionIn::v] = zeros(graph, {k.dim(0), k.dim(1), k.dim(2), 1}, q.dtype());
  if (Value& bias = in[AttentionIn::bias]; !bias.absent())
    bias = where(greater(bias, bias_that_masks), zeros_like(bias), -std::numeric_limits<double>::infinity());
  return greater(attention_weights_of(graph.apply(*node.op, in, node.attributes).front()), 0.0);
}

// An integer [batch] or [] against [batch, heads, time_q, time_k].
Value per_example(const Value& x) { return cast(x.rank() == 0 ? x : reshape(x, {x.dim(0), 1, 1, 1}), i64); }

Value key_indices(const Value& weights) { return iota(weights.graph(), weights.dim(3)); }
Value query_indices(const Value& weights) {
  return reshape(iota(weights.graph(), weights.dim(2)), {weights.dim(2), 1});
}

Value position_of(const HeadWeights& of) { return of.position.absent() ? query_indices(of.weights) : of.position; }

// Pairs that exist, in queries that count, and of how many keys. A row is [batch, heads, time_q, 1].
struct Counted {
  Value pairs;  ///< bool [batch, heads, time_q, time_k]
  Value keys;   ///< row: how many, 0 in a query that does not count
  Value rows;   ///< row: 1 where the query counts
};

Value number(const Value& condition, const Value& like) { return cast(condition, like.dtype()); }
Value over_keys(const Value& x) { return sum(x, {.axes = {-1}, .keep = true}); }
Value per_head(const Value& x) { return sum(x, {.axes = {0, 2, 3}}); }

Counted counted(const HeadWeights& of) {
  const Value& p = of.weights;
  const Value whole = not_equal(p, -1.0);  // true: of the weights' shape and batch
  const Value exists = of.visible.absent() ? whole : logical_and(whole, of.visible);
  const Value keys = over_keys(number(exists, p));
  const Value counts = greater_equal(keys, 2.0);
  return {logical_and(exists, counts), where(counts, keys, 0.0), number(counts, p)};
}

}  // namespace

HeadWeights head_weights(const Value& y) {
  Value weights = attention_weights_of(y);
  const Graph graph = y.graph();
  if (const Node& rounded = weights.node(); rounded.op == &cast_op()) {  // as they were before a narrow type
    const Value exact = graph.value(rounded.operands.front());
    if (exact.dtype() == f32 || exact.dtype() == f64) weights = exact;
  }
  const Node& node = graph.node(y);
  Values in;
  for (const ValueRef& ref : node.operands) in.push_back(ref.node == no_node ? Value{} : graph.value(ref));
  in.resize(std::max<std::size_t>(in.size(), AttentionIn::count));
  const ScoreRule rule(node.attributes);
  const Value key = key_indices(weights), query = query_indices(weights);
  const Value start = in[AttentionIn::start], lengths = in[AttentionIn::lengths];
  const Value position = start.absent() ? query + rule.offset : query + per_example(start);
  if (!rules_are_known(node)) return {weights, visible_by_weights(node, in), position};
  Value visible;
  const auto also = [&](const Value& mask) { visible = visible.absent() ? mask : logical_and(visible, mask); };
  if (rule.causal) also(less_equal(key, position));
  if (rule.window > 0) {
    also(greater(key, position - rule.window));
    also(less(key, position + rule.window));
  }
  if (!lengths.absent()) also(less(key, per_example(lengths)));
  if (const Value mask = in[AttentionIn::mask]; !mask.absent()) also(mask);
  if (const Value bias = in[AttentionIn::bias]; !bias.absent()) also(greater(bias, bias_that_masks));
  return {weights, visible, position};
}

Value HeadMean::value() const { return sum / count; }

// --- statistics ---
namespace {

// -sum_j p_j ln p_j of each row; 0 ln 0 = 0
Value row_entropy(const Value& p) { return negate(over_keys(p * log(where(greater(p, 0.0), p, 1.0)))); }

HeadMean mean_of(const Value& rows, const Counted& c) {
  return {per_head(where(equal(c.rows, 1.0), rows, 0.0)), per_head(c.rows)};
}

}  // namespace

HeadMean head_entropy(const HeadWeights& of) { return mean_of(row_entropy(of.weights), counted(of)); }

HeadMean head_sparsity(const HeadWeights& of, double below) {
  WEFT_CHECK(below > 0 && below <= 1, "head_sparsity: a weight is sparse below a number in (0, 1], got {}", below);
  const Counted c = counted(of);
  return {per_head(number(logical_and(c.pairs, less(of.weights, below)), of.weights)), per_head(c.keys)};
}

HeadMean head_peak(const HeadWeights& of) {
  return mean_of(max(of.weights, {.axes = {-1}, .keep = true}), counted(of));
}

Value head_maximum(const HeadWeights& of) { return max(where(counted(of).pairs, of.weights, 0.0), {.axes = {2, 3}}); }

const char* name_of(HeadPattern pattern) {
  switch (pattern) {
    case HeadPattern::diagonal:
      return "diagonal";
    case HeadPattern::previous:
      return "previous";
    case HeadPattern::first:
      return "first";
    case HeadPattern::block:
      return "block";
    case HeadPattern::uniform:
      return "uniform";
  }
  WEFT_FAIL("there is no pattern {}", static_cast<int>(pattern));
}

PatternShare head_pattern(const HeadWeights& of, HeadPattern pattern, std::int64_t block_width) {
  WEFT_CHECK(block_width > 0, "head_pattern: a block is at least 1 key wide, got {}", block_width);
  const Counted c = counted(of);
  const Value &p = of.weights, key = key_indices(p), position = position_of(of);
  const Value even = where(equal(c.rows, 1.0), 1.0 / maximum(c.keys, 1.0), 0.0);  // 1 / n, row
  if (pattern == HeadPattern::uniform) {
    const Value overlap = over_keys(where(c.pairs, minimum(p, even), 0.0));
    const Value count = per_head(c.rows);
    return {{per_head(overlap), count}, {per_head(even), count}};
  }
  const Value member = pattern == HeadPattern::diagonal   ? equal(key, position)
                       : pattern == HeadPattern::previous ? equal(key, position - 1)
                       : pattern == HeadPattern::first
                           ? equal(key, 0)
                           : equal(floor_divide(key, block_width), floor_divide(position, block_width));
  const Value pairs = logical_and(c.pairs, member);
  const Value of_row = over_keys(number(pairs, p));
  const Value count = per_head(number(greater(of_row, 0.0), p));
  return {{per_head(where(pairs, p, 0.0)), count}, {per_head(of_row * even), count}};
}

HeadMean head_diversity(const HeadWeights& of) {
  const Value& p = of.weights;
  const std::int64_t heads = p.shape().extent(1);
  WEFT_CHECK(heads > 1, "head_diversity compares heads, and this attention has {}", heads);
  const Counted c = counted(of);
  const auto over_heads = [](const Value& x) { return mean(x, {.axes = {1}, .keep = true}); };
  const Value divergence = row_entropy(over_heads(p)) - over_heads(row_entropy(p));
  const Value all_count = min(c.rows, {.axes = {1}, .keep = true});  // [batch, 1, time_q, 1]
  const Value keys = over_keys(number(any(c.pairs, {.axes = {1}, .keep = true}), p));
  const Value most = log(minimum(maximum(keys, 2.0), static_cast<double>(heads)));
  return {sum(where(equal(all_count, 1.0), divergence / most, 0.0)), sum(all_count)};
}

}  // namespace weft
