#include <weft/ops/index/embedding.h>

#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/index/ids.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/reference.h>
#include <weft/ops/kit/rows.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>

#include <algorithm>
#include <cstring>

namespace weft {
namespace {

// --- embedding: y[.., :] = weight[ids[..], :] ---

std::vector<TensorType> embedding_infer(const OpView& view) {
  expect_float(view, 0);
  expect_rank(view, 0, 2, "the table");
  expect_integer(view, 1);
  if (view.attributes.has("padding_index")) {
    const std::int64_t padding = view.attributes.integer("padding_index");
    WEFT_CHECK(0 <= padding && padding < view.shape(0).extent(0),
               "padding_index must be a row of the table: {}, got {}", view.shape(0).str(), padding);
  }
  Shape shape = view.shape(1);
  shape.push_back(view.shape(0)[1]);
  return {{view.type(0).dtype, shape}};
}

// Linear in the table.
std::vector<BatchState> embedding_batch(const OpView&, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  if (in[0].kind == Kind::free) return {in[1]};
  if (in[1].kind == Kind::free && in[0].kind == Kind::summed) return {in[0]};
  return {in[1].as_mixed()};
}

template <class T>
void embedding_kernel(KernelContext& context) {
  const std::int64_t width = context.type(0).shape.extent(1);
  const Ids ids(context, 1, context.type(0).shape.extent(0), "id", "row of the table");
  for_row_tiles(ids.count(), width, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(context.out<T>(0) + i * width, context.in<T>(0) + ids[i] * width,
                  static_cast<std::size_t>(width) * sizeof(T));
  });
}

Values embedding_plain(const Plain& p) {
  const Shape& table = p.in[0].shape();
  const Value flat = reshape(p.in[1], {flat_extent(p.in[1].shape())});
  Value rows = p.in[0];
  if (p.attributes.has("padding_index")) {
    const Value row = reshape(iota(rows.graph(), table[0], i64), {table[0], 1});
    rows = where(equal(row, p.attributes.integer("padding_index")), stop_gradient(rows), rows);
  }
  return reshape(matmul(one_hot(flat, table[0], p.in[0].dtype()), rows), p.out[0].shape);
}

void embedding_backward_rule(Backward& b) {
  const Dim rows = b.in(0).dim(0);
  b.input(0, build(embedding_backward_op(), {b.cotangent(0), b.in(1)}, b.attributes().with("rows", Shape{rows})));
}

// --- embedding_backward: d_weight[v, :] = sum_{i: ids[i] = v} d_y[i, :], added to the rows of `onto` where that is
// given
//     (one addition a row, after its sum is complete; rows without a place are onto's) ---

std::vector<TensorType> embedding_backward_infer(const OpView& view) {
  expect_float(view, 0);
  expect_integer(view, 1);
  Shape expected = view.shape(1);
  expected.push_back(view.shape(0).rank() > 0 ? view.shape(0)[-1] : Dim(1));
  expect_shape(view, 0, expected, "the cotangent");
  const TensorType table{view.type(0).dtype, {view.attributes.shape("rows")[0], view.shape(0)[-1]}};
  WEFT_CHECK(table.shape.extent(0) > 0, "the table must have rows, got {}", table.str());
  if (view.has(2)) WEFT_CHECK(view.type(2) == table, "onto must be {}, got {}", table.str(), view.type(2).str());
  return {table};
}

std::vector<BatchState> embedding_backward_batch(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  BatchState sum = BatchState::mixed();
  if (in[0].kind == Kind::free && in[1].kind == Kind::free) sum = BatchState{};
  else if (in[0].kind == Kind::split && in[0] == in[1]) sum = BatchState::summed();
  else if (in[0].kind == Kind::summed && in[1].kind == Kind::free) sum = in[0];
  return {!view.has(2) || in[2] == sum ? sum : BatchState::mixed()};
}

// The places sorted by id (a stable counting sort), and one row of the wide type a thread.
std::size_t sorted_places(const OpView& view) {
  const std::int64_t rows = view.attributes.shape("rows").extent(0);
  return static_cast<std::size_t>((rows + 1 + view.shape(1).count() + 7) / 8 * 8) * sizeof(std::int64_t);
}
std::size_t embedding_backward_workspace(const OpView& view, int threads) {
  const std::size_t wide = std::max(sizeof(float), size_of(view.type(0).dtype));
  return sorted_places(view) + static_cast<std::size_t>(threads * view.shape(0).extent(-1)) * wide;
}

template <class T>
void embedding_backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const std::int64_t width = context.type(0).shape.extent(-1), rows = context.out_type(0).shape.extent(0);
  const std::int64_t padding = context.attributes().get_or<std::int64_t>("padding_index", -1);
  const Ids ids(context, 1, rows, "id", "row of the table");
  auto* starts = reinterpret_cast<std::int64_t*>(context.workspace());
  std::int64_t* places = starts + rows + 1;
  auto* buffers = reinterpret_cast<W*>(context.workspace() + sorted_places(context.view()));
  const T* onto = context.in<T>(2);
  std::fill_n(starts, rows + 1, std::int64_t{0});
  for (std::int64_t i = 0; i < ids.count(); ++i) ++starts[ids[i] + 1];
  for (std::int64_t v = 0; v < rows; ++v) starts[v + 1] += starts[v];
  for (std::int64_t i = 0; i < ids.count(); ++i) places[starts[ids[i]]++] = i;  // now starts[v] is where v ends

  for_row_tiles(
      rows, width,
      [&](std::int64_t begin, std::int64_t end, int slot) {
        constexpr std::int64_t block = 256;
        [[maybe_unused]] W wide[block];
        for (std::int64_t v = begin; v < end; ++v) {
          T* out = context.out<T>(0) + v * width;
          const std::int64_t first = v == 0 ? 0 : starts[v - 1], last = v == padding ? first : starts[v];
          if (onto != nullptr && first == last) {
            if (out != onto + v * width) std::copy_n(onto + v * width, width, out);
            continue;
          }
          W* total = buffers + slot * width;
          if constexpr (!is_narrow<T>)
            if (onto == nullptr) total = out;
          std::fill_n(total, width, W(0));
          for (std::int64_t k = first; k < last; ++k) {
            const T* d_y = context.in<T>(0) + places[k] * width;
            for (std::int64_t c = 0; c < width; c += block) {
              const std::int64_t count = std::min(block, width - c);
              simd<W>().add(total + c, widened(d_y + c, wide, count), total + c, count);
            }
          }
          if (onto == nullptr) {
            store(total, out, width);
            continue;
          }
          add_rounded(onto + v * width, total, out, width);
        }
      },
      1024);
}

Values embedding_backward_plain(const Plain& p) {
  const Dim places = flat_extent(p.in[1].shape());
  const Dim rows = p.attributes.shape("rows")[0];
  Value hot = one_hot(reshape(p.in[1], {places}), rows, p.in[0].dtype());
  if (p.attributes.has("padding_index"))
    hot = hot * cast(not_equal(iota(hot.graph(), rows, i64), p.attributes.integer("padding_index")), hot.dtype());
  const Value table = matmul(hot, reshape(p.in[0], {places, p.out[0].shape[1]}), {.transpose_a = true});
  return p.in.size() < 3 || p.in[2].absent() ? table : p.in[2] + table;
}

std::vector<double> embedding_backward_reference(const OpView& view, Operands in) {
  static const ReferenceRule sums =
      gathered_sums([](const OpView& node, Operands of, const Indices& at) -> std::optional<Indices> {
        const auto row = static_cast<std::int64_t>(element(of[1], node.shape(1), Indices(at.begin(), at.end() - 1)));
        if (row == node.attributes.get_or<std::int64_t>("padding_index", -1)) return {};
        return Indices{row, at.back()};
      });
  std::vector<double> table = sums(view, in);
  for (std::size_t i = 0; view.has(2) && i < table.size(); ++i) table[i] += in[2][i];
  return table;
}

// Linear in d_y: the cotangent's rows, but none for padding. And in onto, which is only added.
void embedding_backward_backward(Backward& b) {
  if (b.wants(2)) b.input(2, b.cotangent(0));
  if (!b.wants(0)) return;
  Value rows = embedding(b.cotangent(0), b.in(1));
  if (b.attributes().has("padding_index")) {
    Shape column = b.in(1).shape();
    column.push_back(1);
    const auto padding = b.attributes().integer("padding_index");
    rows = where(equal(reshape(b.in(1), column), padding), 0.0, rows);
  }
  b.input(0, rows);
}

Attributes padding_at(std::int64_t index) { return {{"padding_index", index}}; }
Attributes rows_of(std::int64_t rows) { return {{"rows", Shape{rows}}}; }

}  // namespace

const OpDef& embedding_op() {
  static const OpDef op{
      .name = "embedding",
      .law = "y[.., :] = weight[ids[..], :]",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = embedding_infer,
      .batch = embedding_batch,
      .backward = embedding_backward_rule,
      .plain = embedding_plain,
      .reference = moved([](const OpView& view, Operands in, const Indices& at) -> std::optional<From> {
        const Indices row(at.begin(), at.end() - 1);
        return From{0, {static_cast<std::int64_t>(element(in[1], view.shape(1), row)), at.back()}};
      }),
      .terms = linear_in({0}, {{1}}),
      .traits = {.refuses = true},
      .kernels = {{.dtype = f32, .run = embedding_kernel<float>},
                  {.dtype = f64, .run = embedding_kernel<double>},
                  {.dtype = bf16, .run = embedding_kernel<bfloat16>},
                  {.dtype = f16, .run = embedding_kernel<float16>}},
      .samples = {{{sample::normal({5, 3}), sample::integers({4, 2}, 0, 5).batched(0)}},
                  // Not the derivative on purpose: the padding row learns nothing.
                  {{sample::normal({5, 3}), sample::integers({4, 8}, 0, 5).batched(1)}, padding_at(2), false},
                  {{sample::normal({3, 1}), sample::integers({7}, 0, 3).batched(0)}},
                  {{sample::normal({2, 3}), sample::integers({}, 0, 2)}},
                  {{sample::normal({65, 130}), sample::integers({12, 64}, 0, 65).batched(0)}, {}, false},
                  {{sample::extremes({9, 4}), sample::integers({5, 3}, 0, 9)}, {}, false}},
      .bad_samples = {{{{i64, {5, 3}}, {i64, {2}}}, {}, "floating type"},
                      {{{f32, {5, 3}}, {f32, {2}}}, {}, "i32 or i64"},
                      {{{f32, {5}}, {i64, {2}}}, {}, "the table must have rank 2"},
                      {{{f32, {5, 3}}, {i64, {2}}}, padding_at(5), "padding_index must be a row"}},
  };
  return op;
}

const OpDef& embedding_backward_op() {
  static const OpDef op{
      .name = "embedding_backward",
      .law = "d_weight[v, :] = onto[v, :] + sum_{i: ids[i] = v} d_y[i, :]",
      .outputs = {"d_weight"},
      .least_inputs = 2,
      .most_inputs = 3,
      .infer = embedding_backward_infer,
      .batch = embedding_backward_batch,
      .backward = embedding_backward_backward,
      .plain = embedding_backward_plain,
      .reference = embedding_backward_reference,
      .terms = [](const OpView& view) -> std::vector<Term> {
        const bool all = !view.attributes.has("padding_index");  // else rows of it go nowhere
        return {{.factors = {0}, .inner = {{1}}, .adds = all ? 0 : -1}, {.factors = {2}, .adds = 2}};
      },
      .traits = {.refuses = true, .in_place = {{0, 2}}},
      .lowerings = {&fuse_addend()},
      .kernels = {{.dtype = f32, .run = embedding_backward_kernel<float>, .workspace = embedding_backward_workspace},
                  {.dtype = f64, .run = embedding_backward_kernel<double>, .workspace = embedding_backward_workspace},
                  {.dtype = bf16,
                   .run = embedding_backward_kernel<bfloat16>,
                   .workspace = embedding_backward_workspace},
                  {.dtype = f16, .run = embedding_backward_kernel<float16>, .workspace = embedding_backward_workspace}},
      .samples =
          {{{sample::normal({4, 2, 3}).batched(0), sample::integers({4, 2}, 0, 5).batched(0)}, rows_of(5)},
           {{sample::normal({4, 2, 3}).batched(1), sample::integers({4, 2}, 0, 5).batched(1)},
            rows_of(5).with("padding_index", std::int64_t{2})},
           {{sample::normal({7, 1}), sample::integers({7}, 0, 3)}, rows_of(3)},
           {{sample::normal({6, 64, 300}).batched(0), sample::integers({6, 64}, 0, 65).batched(0)}, rows_of(65), false},
           {{sample::extremes({18, 2}), sample::integers({18}, 0, 9)}, rows_of(9), false},
           {{sample::normal({4, 2, 3}).batched(0), sample::integers({4, 2}, 0, 5).batched(0), sample::normal({9, 3})},
            rows_of(9)},
           // Whole numbers: the sum is rounded, then the sum with onto, which is more than one rounding.
           {{sample::ties({6, 64, 300}), sample::integers({6, 64}, 0, 65), sample::ties({70, 300})},
            rows_of(70),
            false}},
      .bad_samples = {{{{f32, {4, 3}}, {i64, {5}}}, rows_of(5), "the cotangent"},
                      {{{f32, {4, 3}}, {f32, {4}}}, rows_of(5), "i32 or i64"},
                      {{{f32, {4, 3}}, {i64, {4}}, {f32, {4, 3}}}, rows_of(5), "onto must be f32[5, 3]"},
                      {{{f32, {4, 3}}, {i64, {4}}}, rows_of(0), "the table must have rows, got f32[0, 3]"}},
      .addend = 2,
  };
  return op;
}

Value embedding(const Arg& weight, const Arg& ids, EmbeddingOptions options) {
  return build(embedding_op(), {weight, ids},
               options.padding_index ? padding_at(*options.padding_index) : Attributes{});
}

void register_embedding() {
  registry().add(embedding_op());
  registry().add(embedding_backward_op());
}

}  // namespace weft
