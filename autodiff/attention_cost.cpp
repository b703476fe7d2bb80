#include <weft/autodiff/attention_cost.h>
#include <weft/autodiff/gradient.h>
#include <weft/graph/reach.h>
#include <weft/runtime/memory/plan.h>
#include <weft/runtime/program.h>

#include <algorithm>
#include <set>

namespace weft {
namespace {

// Pairs of query and key that are seen; the last query stands at the last key. window 0: none.
double pairs_seen(const AttentionCase& c, std::int64_t window) {
  double pairs = 0;
  for (std::int64_t i = 0; i < c.time; ++i) {
    const std::int64_t position = i + c.keys - c.time;
    std::int64_t lo = 0, hi = c.keys;
    if (c.causal) hi = std::min(hi, position + 1);
    if (window > 0) {
      lo = std::max(lo, position - window + 1);
      hi = std::min(hi, position + window);
    }
    pairs += static_cast<double>(std::max<std::int64_t>(0, hi - lo));
  }
  return pairs;
}

// Storages that the forward pass fills and the backward pass, all that depends on d_y, reads.
std::size_t kept_by(const Plan& plan, const Value& y, const Value& d_y) {
  const Graph& graph = plan.step.graph;
  const Value start = plan.step.find(d_y);
  const NodeSet forward = ancestors(graph, {plan.step.find(y)}), backward = descendants(graph, {start});
  std::set<std::size_t> kept;
  for (const NodeId id : graph.ids()) {
    if (!backward.contains(id) || id == start.ref().node) continue;
    for (const ValueRef& ref : graph.node(id).operands)
      if (forward.contains(ref.node) && plan.storage(ref).kind == StorageKind::arena)
        kept.insert(plan.storage_of.at(ref));
  }
  std::size_t bytes = 0;
  for (const std::size_t storage : kept) bytes += plan.storages[storage].bytes;
  return bytes;
}

}  // namespace

// s = q k^T, y = p v; backward d_p = d_y v^T, d_v = p^T d_y, d_q = d_s k, d_k = d_s^T q, and s again block-wise.
double attention_flops(const AttentionCase& c, AttentionStrategy strategy, std::int64_t window) {
  const auto width = static_cast<double>(c.width), value_width = static_cast<double>(c.value_width);
  const double pairs = strategy == AttentionStrategy::plain ? static_cast<double>(c.time) * static_cast<double>(c.keys)
                                                            : pairs_seen(c, window);
  double products = width + value_width;
  if (strategy == AttentionStrategy::checkpointed) products *= 2;
  if (c.training) products += (strategy == AttentionStrategy::plain ? 2 : 3) * width + 2 * value_width;
  return 2 * products * pairs * static_cast<double>(c.batch * c.heads * c.layers);
}

AttentionBytes attention_bytes(const AttentionCase& c, bool plain, std::int64_t window, int threads) {
  Graph graph;
  const Value q = graph.input("q", c.dtype, {c.batch, c.time, c.heads, c.width});
  const Value k = graph.input("k", c.dtype, {c.batch, c.keys, c.kv_heads, c.width});
  const Value v = graph.input("v", c.dtype, {c.batch, c.keys, c.kv_heads, c.value_width});
  Value y = attention(q, k, v, {.causal = c.causal, .window = window, .dropout = c.training ? c.dropout : 0});
  if (plain) {
    const Node& node = y.node();
    y = node.op->plain({{q, k, v}, node.attributes, node.types}).front();
  }
  if (!c.training) return {plan(fetching({y}), {.threads = threads}).arena_bytes, 0};
  const Value d_y = graph.input("d_y", c.dtype, y.shape());
  std::vector<Value> wanted = vector_jacobian({y}, {d_y}, {q, k, v});
  wanted.push_back(y);
  const Plan made = plan(fetching(wanted), {.threads = threads});
  return {made.arena_bytes, kept_by(made, y, d_y)};
}

}  // namespace weft
