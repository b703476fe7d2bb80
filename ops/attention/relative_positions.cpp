#include <weft/ops/attention/relative_positions.h>

#include <weft/ops/index/index.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/einsum.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

#include <cmath>

namespace weft {
namespace {

// key - query, i64: [time_q, time_k] or [batch, time_q, time_k]
Value distances(Graph graph, const Dim& time_q, const Dim& time_k, const PositionOffset& from,
                std::source_location where) {
  return iota(graph, time_k, i64, where) - unsqueeze(position_ids(graph, time_q, i64, from, where), -1);
}

Value clipped(const Value& x, std::int64_t low, std::int64_t high) {
  return minimum(maximum(x, static_cast<double>(low)), static_cast<double>(high));
}

// Places of ids [rows, columns] in scores whose last two axes, rows and n, are one.
Value flat_places(const Value& ids, const Dim& n) {
  const Value row = reshape(iota(ids.graph(), ids.dim(0)), {ids.dim(0), 1});
  return reshape(ids + row * n.value(), {ids.dim(0) * ids.dim(1)});
}

// [batch, rows, columns] for each of the heads
Value for_heads(const Value& ids, const Dim& heads) {
  return broadcast_to(unsqueeze(ids, 1), {ids.dim(0), heads, ids.dim(1), ids.dim(2)});
}

// <x, table rows>: [batch, time, heads, width] -> [batch, heads, time, rows]
Value products(const Value& x, const Value& table) {
  return einsum(table.rank() == 2 ? "bthd,rd->bhtr" : "bthd,rhd->bhtr", {x, table});
}

void expect_heads(const Value& x, const char* who, std::source_location where) {
  WEFT_CHECK(x.rank() == 4 && is_float(x.dtype()),
             "{} ({}) reads queries or keys [batch, time, heads, width] of floats, got {}", who, str(where),
             x.type().str());
}

void expect_table(const Value& table, std::int64_t rows, const Dim& heads, const Dim& width, bool own, const char* who,
                  std::int64_t distance, std::source_location where) {
  const bool fits = (table.rank() == 2 && !own && table.shape() == Shape{rows, width}) ||
                    (table.rank() == 3 && table.shape() == Shape{rows, heads, width});
  WEFT_CHECK(fits, "{} ({}): distances up to {} need a table of {} rows, [{}{}, {}], got {}", who, str(where), distance,
             rows, rows, own ? fmt::format(", {}", heads.value()) : std::string(), width.value(), table.type().str());
}

}  // namespace

Value relative_position_ids(Graph graph, Dim time_q, Dim time_k, std::int64_t max_distance, const PositionOffset& from,
                            std::source_location where) {
  WEFT_CHECK(max_distance >= 0, "relative positions ({}): max_distance must not be negative, got {}", str(where),
             max_distance);
  return clipped(distances(graph, time_q, time_k, from, where), -max_distance, max_distance) + max_distance;
}

Value pick_relative(const Arg& arg, const Value& ids) {
  const auto line = called_at({arg});
  const Value& x = arg.value();
  if (!x.valid() || !ids.valid()) return x.valid() ? ids : x;
  WEFT_CHECK(x.rank() == 4 && (ids.rank() == 2 || ids.rank() == 3),
             "pick_relative ({}) needs scores [batch, heads, rows, n] and ids [rows, columns] or [batch, rows, "
             "columns], got {} and {}",
             str(arg.where()), x.type().str(), ids.type().str());
  if (ids.rank() == 3) return gather(x, 3, for_heads(ids, x.dim(1)));
  const Value flat = reshape(x, {x.dim(0), x.dim(1), x.dim(2) * x.dim(3)});
  return reshape(index_select(flat, 2, flat_places(ids, x.dim(3))), {x.dim(0), x.dim(1), ids.dim(0), ids.dim(1)});
}

Value relative_key_scores(const Arg& q, const Arg& table, Dim time_k, const RelativeOptions& options) {
  const auto line = called_at({q});
  const Value &x = q.value(), &rows = table.value();
  if (!x.valid() || !rows.valid()) return x.valid() ? rows : x;
  expect_heads(x, "relative_key_scores", q.where());
  const Value ids = relative_position_ids(x.graph(), x.dim(1), time_k, options.max_distance, options.from, q.where());
  expect_table(rows, 2 * options.max_distance + 1, x.dim(2), x.dim(3), false, "relative_key_scores",
               options.max_distance, q.where());
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(x.shape().extent(3))));
  return pick_relative(products(x * scale, rows), ids);
}

// The weights of all keys at one distance are added up before they meet its vector.
Value relative_values(const Arg& weights, const Arg& table, const RelativeOptions& options) {
  const auto line = called_at({weights});
  const Value &p = weights.value(), &rows = table.value();
  if (!p.valid() || !rows.valid()) return p.valid() ? rows : p;
  WEFT_CHECK(p.rank() == 4, "relative_values ({}) needs weights [batch, heads, time_q, time_k], got {}",
             str(weights.where()), p.type().str());
  const Dim batch = p.dim(0), heads = p.dim(1), time_q = p.dim(2), time_k = p.dim(3), n = 2 * options.max_distance + 1;
  const Value ids =
      relative_position_ids(p.graph(), time_q, time_k, options.max_distance, options.from, weights.where());
  expect_table(rows, n.value(), heads, rows.rank() > 0 ? rows.dim(-1) : Dim(0), false, "relative_values",
               options.max_distance, weights.where());
  Value sums;
  if (ids.rank() == 3)
    sums = build(scatter_add_op(), {p, for_heads(ids, heads)},
                 {{"axis", std::int64_t{3}}, {"shape", Shape{batch, heads, time_q, n}}});
  else
    sums = build(index_add_op(), {reshape(p, {batch, heads, time_q * time_k}), flat_places(ids, n)},
                 {{"axis", std::int64_t{2}}, {"extent", Shape{time_q * n}}});
  sums = reshape(sums, {batch, heads, time_q, n});
  return einsum(rows.rank() == 2 ? "bhtr,rd->bthd" : "bhtr,rhd->bthd", {sums, rows});
}

double disentangled_scale(std::int64_t width, int terms) {
  return 1 / std::sqrt(static_cast<double>((1 + terms) * width));
}

Value disentangled_scores(const Arg& q, const Arg& k, const Value& position_keys, const Value& position_queries,
                          const DisentangledOptions& options) {
  const auto line = called_at({q});
  const Value &x = q.value(), &y = k.value();
  for (const Value& value : {x, y, position_keys, position_queries})
    if (!value.absent() && !value.valid()) return value;
  const std::int64_t most = options.max_distance;
  const int terms = static_cast<int>(position_keys.valid()) + static_cast<int>(position_queries.valid());
  WEFT_CHECK(terms > 0, "disentangled_scores ({}) needs a table of position_keys, of position_queries, or both",
             str(q.where()));
  WEFT_CHECK(most >= 1, "disentangled_scores ({}): max_distance must be at least 1, got {}", str(q.where()), most);
  expect_heads(x, "disentangled_scores", q.where());
  expect_heads(y, "disentangled_scores", k.where());
  for (const Value& table : {position_keys, position_queries})
    if (table.valid()) expect_table(table, 2 * most, x.dim(2), x.dim(3), true, "disentangled_scores", most, q.where());
  const double scale = disentangled_scale(x.shape().extent(3), terms);
  const Value apart = distances(x.graph(), x.dim(1), y.dim(1), options.from, q.where());  // j - i
  Value scores;
  if (position_keys.valid())  // of query i at d(i, j)
    scores =
        pick_relative(products(x * scale, position_keys), clipped(static_cast<double>(most) - apart, 0, 2 * most - 1));
  if (position_queries.valid()) {  // of key j at d(j, i), then i before j
    const Value ids = transpose(clipped(apart + most, 0, 2 * most - 1), -1, -2);
    const Value term = transpose(pick_relative(products(y * scale, position_queries), ids), -1, -2);
    scores = scores.valid() ? scores + term : term;
  }
  return scores;
}

}  // namespace weft
