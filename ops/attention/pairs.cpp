#include <weft/ops/attention/pairs.h>

#include <weft/ops/attention/pair_blocks.h>
#include <weft/ops/index/index.h>
#include <weft/ops/pointwise/arithmetic.h>

#include <fmt/format.h>

#include <utility>

namespace weft::pairs {
namespace {

void expect_at_least_1(std::int64_t x, const char* what) {
  WEFT_CHECK(x >= 1, "{} of a pattern of pairs must be at least 1, got {}", what, x);
}

}  // namespace

PairPattern strided(std::int64_t window, std::int64_t stride) {
  expect_at_least_1(window, "the window");
  expect_at_least_1(stride, "the stride");
  return [=](const AttentionPlace& p) {
    const Value distance = p.position - p.key;
    return logical_or(less(abs(distance), window), equal(remainder(distance, stride), 0));
  };
}

// The first and the last window that has a place: m stride <= place < m stride + window.
PairPattern local(std::int64_t window, std::int64_t stride) {
  expect_at_least_1(window, "the window");
  expect_at_least_1(stride, "the stride");
  return [=](const AttentionPlace& p) {
    const auto first = [&](const Value& place) { return floor_divide(place - window, stride) + 1; };
    const auto last = [&](const Value& place) { return floor_divide(place, stride); };
    return less_equal(maximum(first(p.position), first(p.key)), minimum(last(p.position), last(p.key)));
  };
}

PairPattern causal() {
  return [](const AttentionPlace& p) { return less_equal(p.key, p.position); };
}

PairPattern global(std::int64_t tokens) {
  expect_at_least_1(tokens, "the number of global tokens");
  return [=](const AttentionPlace& p) { return logical_or(less(p.key, tokens), less(p.position, tokens)); };
}

PairPattern blocks(const std::vector<std::vector<bool>>& matrix, std::int64_t size) {
  expect_at_least_1(size, "the size of a block");
  WEFT_CHECK(!matrix.empty() && !matrix.front().empty(), "a pattern of blocks needs at least one block");
  const auto rows = static_cast<std::int64_t>(matrix.size()),
             columns = static_cast<std::int64_t>(matrix.front().size());
  auto bytes = std::make_shared<Constant>();
  bytes->type = {boolean, {rows * columns}};
  for (const std::vector<bool>& row : matrix) {
    WEFT_CHECK(row.size() == matrix.front().size(), "rows of a pattern of blocks must be of one length, got {} and {}",
               matrix.front().size(), row.size());
    for (const bool pair : row) bytes->bytes.push_back(std::byte{pair});
  }
  return [=](const AttentionPlace& p) {
    const std::int64_t queries = p.query.shape().extent(0), keys = p.key.shape().extent(0);
    WEFT_CHECK(queries <= rows * size && keys <= columns * size,
               "a pattern of {} x {} blocks of {} covers {} queries and {} keys, but attention has {} and {}", rows,
               columns, size, rows * size, columns * size, queries, keys);
    const Value table = p.query.graph().constant(*bytes);
    return take(table, floor_divide(p.query, size) * columns + floor_divide(p.key, size));
  };
}

PairPattern elements(const std::vector<std::vector<bool>>& matrix) { return blocks(matrix, 1); }

PairPattern documents(const Value& ids) {
  return [ids](const AttentionPlace& p) { return equal(p.at_query(ids), p.at_key(ids)); };
}

}  // namespace weft::pairs

namespace weft {

PairPattern operator|(PairPattern a, PairPattern b) {
  return [a = std::move(a), b = std::move(b)](const AttentionPlace& p) { return logical_or(a(p), b(p)); };
}
PairPattern operator&(PairPattern a, PairPattern b) {
  return [a = std::move(a), b = std::move(b)](const AttentionPlace& p) { return logical_and(a(p), b(p)); };
}
PairPattern operator!(PairPattern pattern) {
  return [pattern = std::move(pattern)](const AttentionPlace& p) { return logical_not(pattern(p)); };
}

std::string PairReport::str() const {
  return fmt::format("{:.1f} % of the pairs exist; {} of {} tiles ({} x {}) are computed, {:.1f} % are skipped",
                     all_pairs == 0 ? 0 : 100 * pairs / all_pairs, tiles, all_tiles, tile_rows, tile_columns,
                     100 * skipped());
}

PairReport pair_report(const Value& y) {
  const Graph graph = y.graph();
  const Node& node = graph.node(y);
  WEFT_CHECK(node.op == &attention_op(), "'{}' ({}) is no attention but the op {}", node.name, str(node.where),
             node.op->name);
  const auto view = graph.view(node);
  const bool pattern = view->view.attributes.has("pairs");
  WEFT_CHECK(
      !pattern || pairs_are_static(view->view),
      "which pairs '{}' ({}) has is known only when the program runs: its pattern reads values, the example or an "
      "offset of its own",
      node.name, str(node.where));
  WEFT_CHECK(!view->view.has(AttentionIn::start),
             "which pairs '{}' ({}) has is known only when the program runs: its offset is a value", node.name,
             str(node.where));
  const AttentionShape shape(view->view);
  const auto blocks = pair_blocks(view->view);
  const KeyLimits limits(shape, shape.time_k);
  PairReport report{.all_pairs = static_cast<double>(shape.heads * shape.time_q) * static_cast<double>(shape.time_k),
                    .tile_rows = shape.q_rows(),
                    .tile_columns = shape.k_rows()};
  for (std::int64_t h = 0; h < shape.heads; ++h)
    for (std::int64_t i = 0; i < shape.time_q; i += report.tile_rows)
      for (std::int64_t j = 0; j < shape.time_k; j += report.tile_columns) {
        const std::int64_t rows = std::min(report.tile_rows, shape.time_q - i),
                           end = j + std::min(report.tile_columns, shape.time_k - j);
        const KeyRange any = limits.keys(i, rows);
        ++report.all_tiles;
        if (any.hi <= j || any.lo >= end || (blocks && blocks->none(h, i, j))) continue;
        ++report.tiles;
        for (std::int64_t r = 0; r < rows; ++r) {
          const KeyRange keys = limits.keys(i + r);
          for (std::int64_t key = std::max(keys.lo, j); key < std::min(keys.hi, end); ++key)
            report.pairs += !blocks || blocks->sees(h, i, j, r, key - j) ? 1 : 0;
        }
      }
  return report;
}

}  // namespace weft
