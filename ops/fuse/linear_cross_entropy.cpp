#include <weft/ops/fuse/linear_cross_entropy.h>

#include <weft/graph/registry.h>
#include <weft/ops/fuse/deep_product.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/loss/cross_entropy_rows.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/product/product.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/runtime/allocate.h>

namespace weft {
namespace {

using entropy::TargetRows;

Shape without_last(const Shape& shape) { return Shape(std::vector<Dim>(shape.begin(), shape.end() - 1)); }

// Operands; the seed is one of the form with gradients.
struct In {
  enum : int { x, weight, targets, bias, class_weights, count };
  enum : int { seed = count };
};

// What is asked for: the losses, or gradients too.
struct Form {
  bool gradients, d_x, d_weight, d_bias;
  explicit Form(const OpView& view) : Form(&view.op == &linear_cross_entropy_gradients_op(), view.attributes) {}
  Form(bool gradients, const Attributes& attributes)
      : gradients(gradients),
        d_x(attributes.flag("d_x")),
        d_weight(attributes.flag("d_weight")),
        d_bias(attributes.flag("d_bias")) {}
};

std::vector<TensorType> infer(const OpView& view) {
  const Form form(view);
  expect_float(view, In::x);
  expect_rank(view, In::weight, 2, "the weight");
  const Shape &x = view.shape(In::x), &weight = view.shape(In::weight);
  const DType dtype = view.type(In::x).dtype, statistics = wide(dtype);
  expect_dtype(view, In::weight, dtype);
  WEFT_CHECK(x.rank() >= 1 && x[-1] == weight[1], "x must be [.., in] for a weight [classes, in]: got {} and {}",
             x.str(), weight.str());
  const Shape rows = without_last(x);
  entropy::expect_targets(view, In::targets, rows, In::class_weights, weight[0], statistics);
  if (view.has(In::bias)) {
    expect_shape(view, In::bias, {weight[0]}, "the bias");
    expect_dtype(view, In::bias, dtype);
  }
  const auto chunk = view.attributes.get_or<std::int64_t>("chunk", 0);
  WEFT_CHECK(chunk >= 0, "a chunk must have rows, or 0 for as many as the shape says, got {}", chunk);
  if (!form.gradients) return {{statistics, {}}, {statistics, {}}, {statistics, rows}, {statistics, rows}};
  if (view.shape(In::seed).rank() > 0) expect_shape(view, In::seed, rows, "the seed");
  expect_dtype(view, In::seed, statistics);
  WEFT_CHECK(!form.d_bias || view.has(In::bias), "the gradient of an absent bias is asked for");
  return {{statistics, {}},
          {statistics, rows},
          {statistics, rows},
          {dtype, form.d_x ? x : Shape{0}},
          {statistics, form.d_weight ? weight : Shape{0}},
          {dtype, form.d_bias ? Shape{weight[0]} : Shape{0}}};
}

// Rows stay apart; the loss and the gradients of what all rows share are sums over them.
std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const Form form(view);
  const std::size_t outputs = view.op.outputs.size();
  const BatchState& x = in[In::x];
  bool any = false, apart = x.kind == Kind::split && x.axis < view.shape(In::x).rank() - 1 && in[In::targets] == x;
  for (std::size_t i = 0; i < in.size(); ++i) {
    any |= in[i].kind != Kind::free;
    const bool of_rows = i == In::seed && view.shape(In::seed).rank() > 0;
    if (of_rows) apart &= in[i] == x;
    else if (i != In::x && i != In::targets) apart &= in[i].kind == Kind::free;
  }
  if (!any) return std::vector<BatchState>(outputs);
  if (!apart) return std::vector<BatchState>(outputs, BatchState::mixed());
  const BatchState sum = BatchState::summed(), none;
  if (!form.gradients) return {sum, sum, x, x};
  return {sum, x, x, form.d_x ? x : none, form.d_weight ? sum : none, form.d_bias ? sum : none};
}

// Extents and the three products of a chunk of `count` rows.
struct Chunks {
  std::int64_t rows, classes, in, chunk;
  Form form;

  explicit Chunks(const OpView& view)
      : rows(view.shape(In::targets).count()),
        classes(view.shape(In::weight).extent(0)),
        in(view.shape(In::weight).extent(1)),
        form(view) {
    chunk = view.attributes.get_or<std::int64_t>("chunk", 0);
    if (chunk == 0) chunk = projection_chunk(rows, classes, view.type(In::x).dtype);
    chunk = std::max<std::int64_t>(1, std::min(chunk, rows));
  }
  Gemm logits(std::int64_t count) const { return {.trans_b = true, .m = count, .n = classes, .k = in}; }
  DeepProduct d_x(std::int64_t count) const { return {count, in, classes}; }
  Gemm d_weight(std::int64_t count, bool first) const {
    return {.trans_a = true, .m = classes, .n = in, .k = count, .beta = first ? 0.0 : 1.0};
  }
};

// The workspace: each part aligned.
struct Space {
  std::size_t logits = 0, losses = 0, weights = 0, d_bias = 0, buffers = 0, products = 0, bytes = 0;

  Space(const Chunks& c, DType dtype, int threads) {
    const auto take = [&](std::size_t size) {
      const std::size_t at = bytes;
      bytes += aligned(size);
      return at;
    };
    const auto rows = static_cast<std::size_t>(c.rows), classes = static_cast<std::size_t>(c.classes);
    logits = take(static_cast<std::size_t>(c.chunk) * classes * size_of(dtype));
    losses = take(rows * sizeof(double));
    weights = take(c.form.gradients ? 0 : rows * sizeof(double));
    d_bias = take(c.form.d_bias ? classes * sizeof(double) : 0);
    buffers = take(is_narrow_type(dtype) ? static_cast<std::size_t>(threads) * classes * sizeof(float) : 0);
    std::size_t largest = 0;
    for (std::int64_t count : {c.chunk, c.rows % c.chunk}) {
      if (count == 0) continue;
      largest = std::max({largest, gemm_workspace(c.logits(count), dtype, dtype, threads),
                          c.form.d_x ? c.d_x(count).workspace(dtype, threads) : 0,
                          gemm_workspace(c.d_weight(count, false), dtype, wide(dtype), threads)});
    }
    products = take(largest);
  }
};

std::size_t workspace(const OpView& view, int threads) {
  return Space(Chunks(view), view.type(In::x).dtype, threads).bytes;
}

// y = the values of y rounded to T, in place.
template <class T>
void round_to(Wide<T>* y, std::int64_t n) {
  constexpr std::int64_t block = 256;
  T narrow[block];
  for (std::int64_t i = 0; i < n; i += block) {
    const std::int64_t count = std::min(block, n - i);
    store(y + i, narrow, count);
    widened(narrow, y + i, count);
  }
}

// total[c] += sum over rows of d[row][c], rows in order.
template <class T>
void add_rows(const T* d, std::int64_t rows, std::int64_t classes, double* total) {
  constexpr std::int64_t block = 512;
  parallel_for((classes + block - 1) / block, [&](std::int64_t tile, int) {
    const std::int64_t first = tile * block, count = std::min(block, classes - first);
    Wide<T> buffer[block];
    for (std::int64_t row = 0; row < rows; ++row) {
      const Wide<T>* values = widened(d + row * classes + first, buffer, count);
      for (std::int64_t i = 0; i < count; ++i) total[first + i] += static_cast<double>(values[i]);
    }
  });
}

template <class T>
void store_bias(const double* total, T* y, std::int64_t classes) {
  for (std::int64_t i = 0; i < classes; ++i) {
    Wide<T> buffer[1] = {static_cast<Wide<T>>(total[i])};
    *wide_target(y + i, buffer) = buffer[0];
    store(buffer, y + i, 1);
  }
}

template <class T>
void kernel(KernelContext& context) {
  using W = Wide<T>;
  const Chunks c(context.view());
  const Form& form = c.form;
  const Space space(c, context.type(In::x).dtype, threads());
  std::byte* base = context.workspace();
  T* logits = reinterpret_cast<T*>(base + space.logits);
  auto* row_losses = reinterpret_cast<double*>(base + space.losses);
  auto* row_weights = reinterpret_cast<double*>(base + space.weights);
  auto* bias_sums = reinterpret_cast<double*>(base + space.d_bias);
  W* buffers = reinterpret_cast<W*>(base + space.buffers);
  const std::span<std::byte> products(base + space.products, space.bytes - space.products);

  const TargetRows<W> problem(context, c.classes, In::targets, In::class_weights);
  const T *x = context.in<T>(In::x), *weight = context.in<T>(In::weight), *bias = context.in<T>(In::bias);
  const W* seed = form.gradients ? context.in<W>(In::seed) : nullptr;
  const bool each = form.gradients && context.type(In::seed).shape.rank() > 0;
  W* losses = context.out<W>(form.gradients ? 1 : 2);
  W* logsumexp = context.out<W>(form.gradients ? 2 : 3);
  if (form.d_bias) std::fill_n(bias_sums, c.classes, 0.0);
  if (form.d_weight && c.rows == 0) std::fill_n(context.out<W>(4), c.classes * c.in, W(0));

  for (std::int64_t begin = 0; begin < c.rows; begin += c.chunk) {
    const std::int64_t count = std::min(c.chunk, c.rows - begin);
    const bool last = begin + count == c.rows;
    gemm_bias(c.logits(count), x + begin * c.in, weight, bias, logits, products);
    for_row_tiles(count, c.classes, [&](std::int64_t from, std::int64_t to, int slot) {
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t row = begin + i;
        T* line = logits + i * c.classes;
        W* buffer = is_narrow<T> ? buffers + slot * c.classes : nullptr;
        const auto result = entropy::row_loss(problem, row, widened(line, buffer, c.classes));
        losses[row] = static_cast<W>(result.loss);
        logsumexp[row] = static_cast<W>(result.logsumexp);
        row_losses[row] = result.loss;
        if (!form.gradients) row_weights[row] = result.weight;
        else entropy::row_gradient(problem, row, line, seed[each ? row : 0], buffer, line);
      }
    });
    if (form.d_x) deep_product(c.d_x(count), logits, weight, context.out<T>(3) + begin * c.in, products);
    if (form.d_weight) {
      // The sum is as wide as W and rounded once, when it is whole: as by one product over all rows.
      const auto round = [&](const GemmTile& tile) {
        for (std::int64_t row = 0; row < tile.rows; ++row)
          round_to<T>(static_cast<W*>(tile.c) + row * tile.ldc, tile.columns);
      };
      const Gemm g = c.d_weight(count, begin == 0);
      if (is_narrow<T> && last) gemm(g, logits, x + begin * c.in, context.out<W>(4), products, round);
      else gemm(g, logits, x + begin * c.in, context.out<W>(4), products);
    }
    if (form.d_bias) add_rows(logits, count, c.classes, bias_sums);
  }
  if (form.d_bias) store_bias(bias_sums, context.out<T>(5), c.classes);
  *context.out<W>(0) =
      static_cast<W>(entropy::sum_in_blocks(c.rows, [&](std::int64_t row) { return row_losses[row]; }));
  if (!form.gradients)
    *context.out<W>(1) =
        static_cast<W>(entropy::sum_in_blocks(c.rows, [&](std::int64_t row) { return row_weights[row]; }));
}

Cost cost(const OpView& view) {
  const Chunks c(view);
  const int products = 1 + (c.form.d_x ? 1 : 0) + (c.form.d_weight ? 1 : 0);
  Cost cost{.flops = 2.0 * products * static_cast<double>(c.rows) * static_cast<double>(c.classes) *
                     static_cast<double>(c.in)};
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) cost.bytes += static_cast<double>(view.type(i).bytes());
  for (const TensorType& type : view.out) cost.bytes += static_cast<double>(type.bytes());
  return cost;
}

Values plain(const Plain& p, bool gradients) {
  const Form form(gradients, p.attributes);
  const auto operand = [&](int i) {
    return i < static_cast<int>(p.in.size()) ? p.in[static_cast<std::size_t>(i)] : Value{};
  };
  const Value &x = p.in[In::x], &weight = p.in[In::weight], &targets = p.in[In::targets];
  const Value class_weights = operand(In::class_weights);
  const Attributes options{{"ignore_index", p.attributes.integer("ignore_index")},
                           {"label_smoothing", p.attributes.number("label_smoothing")}};
  const Value logits = linear(x, weight, operand(In::bias));
  const Values loss = build_all(cross_entropy_op(), {logits, targets, class_weights}, options);
  if (!gradients) return loss;
  const Value d = build(cross_entropy_backward_op(), {logits, targets, p.in[In::seed], class_weights}, options);
  const auto nothing = [&](DType dtype) { return full(x.graph(), {0}, dtype, 0.0); };
  const Value d_weight = form.d_weight ? matmul(flat_rows(d), flat_rows(x), {.transpose_a = true}) : Value{};
  return {loss[0],
          loss[2],
          loss[3],
          form.d_x ? matmul(d.rank() == 1 ? flat_rows(d) : d, weight) : nothing(x.dtype()),
          form.d_weight ? cast(d_weight, wide(x.dtype())) : nothing(wide(x.dtype())),
          form.d_bias ? sum_to(d, {weight.dim(0)}) : nothing(x.dtype())};
}

std::vector<Kernel> kernels() {
  return {{.dtype = f32, .run = kernel<float>, .workspace = workspace},
          {.dtype = f64, .run = kernel<double>, .workspace = workspace},
          {.dtype = bf16, .run = kernel<bfloat16>, .workspace = workspace},
          {.dtype = f16, .run = kernel<float16>, .workspace = workspace}};
}

Attributes chunked(std::int64_t chunk, std::int64_t ignore_index, double label_smoothing) {
  return {{"ignore_index", ignore_index}, {"label_smoothing", label_smoothing}, {"chunk", chunk}};
}
Attributes asking(Attributes attributes, bool d_x, bool d_weight, bool d_bias) {
  if (d_x) attributes.set("d_x", true);
  if (d_weight) attributes.set("d_weight", true);
  if (d_bias) attributes.set("d_bias", true);
  return attributes;
}

}  // namespace

std::int64_t projection_chunk(std::int64_t rows, std::int64_t classes, DType dtype) {
  constexpr std::int64_t bytes = 32 << 20, unit = 64;
  const std::int64_t row = std::max<std::int64_t>(1, classes * static_cast<std::int64_t>(size_of(dtype)));
  const std::int64_t most = std::max(unit, bytes / row / unit * unit);
  const std::int64_t chunks = std::max<std::int64_t>(1, (rows + most - 1) / most);
  const std::int64_t each = ((rows + chunks - 1) / chunks + unit - 1) / unit * unit;
  return std::min(rows, each);
}

const OpDef& linear_cross_entropy_op() {
  using sample::integers, sample::normal, sample::uniform, sample::absent;
  static const OpDef op{
      .name = "linear_cross_entropy",
      .law = "cross_entropy(x weight^T + bias, targets), of which so many rows exist at a time",
      .source = "Liger Kernel, fused_linear_cross_entropy",
      .outputs = {"sum", "weight", "losses", "logsumexp"},
      .least_inputs = 3,
      .most_inputs = 5,
      .infer = infer,
      .batch = batch,
      .plain = [](const Plain& p) { return plain(p, false); },
      .terms = terms_are(
          {{.output = 0, .factors = {In::class_weights}, .inner = {{In::x, In::weight}, {In::targets}, {In::bias}}},
           {.output = 1, .factors = {In::class_weights}, .inner = {{In::targets}}},
           {.output = 2, .factors = {In::class_weights}, .inner = {{In::x, In::weight}, {In::targets}, {In::bias}}},
           {.output = 3, .inner = {{In::x, In::weight}, {In::bias}}}}),
      .offsets_cost = {In::bias},
      .wide_operands = {In::class_weights},
      .traits = {.cheap = false, .refuses = true, .precision = Precision::low},
      .cost = cost,
      .kernels = kernels(),
      .samples = {{{normal({5, 3}).batched(0), normal({4, 3}), integers({5}, 0, 4).batched(0)}, chunked(2, -100, 0)},
                  {{normal({2, 3, 4}).batched(1), normal({5, 4}), integers({2, 3}, 0, 5).batched(1), normal({5}),
                    uniform({5}, 0.5, 2)},
                   chunked(4, 1, 0.2)},
                  {{normal({3}), normal({4, 3}), integers({}, 0, 4), absent(), uniform({4}, 0.5, 2)},
                   chunked(0, -100, 0)},
                  {{normal({150, 40}, 0, 0.2).batched(0), normal({65, 40}, 0, 0.2), integers({150}, 0, 65).batched(0),
                    normal({65})},
                   chunked(64, 3, 0.1),
                   false},
                  {{sample::extremes({6, 3}), normal({4, 3}), integers({6}, 0, 4)}, chunked(4, -100, 0), false}},
      .bad_samples = {{{{i64, {5, 3}}, {f32, {4, 3}}, {i64, {5}}}, chunked(0, -100, 0), "floating type"},
                      {{{f32, {5, 3}}, {f32, {4, 2}}, {i64, {5}}}, chunked(0, -100, 0), "x must be [.., in]"},
                      {{{f32, {5, 3}}, {f32, {4, 3}}, {i64, {4}}}, chunked(0, -100, 0), "the targets must be [5]"},
                      {{{f32, {5, 3}}, {f32, {4, 3}}, {i64, {5}}, {f32, {3}}},
                       chunked(0, -100, 0),
                       "the bias must be [4]"},
                      {{{f32, {5, 3}}, {f32, {4, 3}}, {i64, {5}}}, chunked(-1, -100, 0), "a chunk must have rows"}},
  };
  return op;
}

const OpDef& linear_cross_entropy_gradients_op() {
  using sample::integers, sample::normal, sample::uniform, sample::absent;
  static const OpDef op{
      .name = "linear_cross_entropy_gradients",
      .law =
          "d_logits = cross_entropy_backward(x weight^T + bias), of which so many rows exist at a time; "
          "d_x = d_logits weight, d_weight = d_logits^T x, d_bias = sum over rows of d_logits",
      .source = "Liger Kernel, fused_linear_cross_entropy",
      .outputs = {"sum", "losses", "logsumexp", "d_x", "d_weight", "d_bias"},
      .least_inputs = 6,
      .most_inputs = 6,
      .infer = infer,
      .batch = batch,
      .plain = [](const Plain& p) { return plain(p, true); },
      // To checkpointing it is of the forward pass, as the loss is; run twice it would do all of its work twice.
      .terms = terms_are(
          {{.output = 0, .factors = {In::class_weights}, .inner = {{In::x, In::weight}, {In::targets}, {In::bias}}},
           {.output = 1, .factors = {In::class_weights}, .inner = {{In::x, In::weight}, {In::targets}, {In::bias}}},
           {.output = 2, .inner = {{In::x, In::weight}, {In::bias}}},
           {.output = 3,
            .factors = {In::seed, In::class_weights},
            .inner = {{In::x}, {In::weight}, {In::targets}, {In::bias}}},
           {.output = 4,
            .factors = {In::seed, In::class_weights},
            .inner = {{In::x}, {In::weight}, {In::targets}, {In::bias}}},
           {.output = 5,
            .factors = {In::seed, In::class_weights},
            .inner = {{In::x, In::weight}, {In::targets}, {In::bias}}}}),
      .offsets_cost = {In::bias},
      .wide_operands = {In::class_weights, In::seed},
      .traits = {.recomputable = false, .cheap = false, .refuses = true, .precision = Precision::low},
      .cost = cost,
      .kernels = kernels(),
      .samples = {{{normal({5, 3}, 0, 0.3).batched(0), normal({4, 3}, 0, 0.3), integers({5}, 0, 4).batched(0), absent(),
                    absent(), normal({})},
                   asking(chunked(2, -100, 0), true, true, false)},
                  {{normal({2, 3, 4}, 0, 0.3).batched(1), normal({5, 4}, 0, 0.3), integers({2, 3}, 0, 5).batched(1),
                    normal({5}), uniform({5}, 0.5, 2), normal({2, 3}).batched(1)},
                   asking(chunked(4, 1, 0.2), true, true, true)},
                  {{normal({5, 3}, 0, 0.3).batched(0), normal({4, 3}, 0, 0.3), integers({5}, 0, 4).batched(0), absent(),
                    absent(), normal({})},
                   asking(chunked(2, -100, 0), true, false, false)},
                  {{normal({3}, 0, 0.3), normal({4, 3}, 0, 0.3), integers({}, 0, 4), normal({4}), absent(), normal({})},
                   asking(chunked(0, -100, 0), false, true, true)},
                  {{normal({150, 40}, 0, 0.1).batched(0), normal({65, 40}, 0, 0.1), integers({150}, 0, 65).batched(0),
                    normal({65}), absent(), normal({})},
                   asking(chunked(64, 3, 0.1), true, true, true),
                   false},
                  {{normal({140, 16}, 0, 0.1).batched(0), normal({4200, 16}, 0, 0.1),
                    integers({140}, 0, 4200).batched(0), absent(), absent(), normal({140}).batched(0)},
                   asking(chunked(128, -100, 0.1), true, true, false),
                   false}},
      .bad_samples = {{{{f32, {5, 3}}, {f32, {4, 3}}, {i64, {5}}, {f32, {4}}, {f32, {4}}, {f32, {4}}},
                       chunked(0, -100, 0),
                       "the seed must be [5]"},
                      {{{f32, {5, 3}}, {f32, {4, 3}}, {i64, {5}}, {f32, {4}}, {f32, {4}}, {f64, {}}},
                       chunked(0, -100, 0),
                       "must be f32"}},
  };
  return op;
}

void register_linear_cross_entropy() {
  registry().add(linear_cross_entropy_op());
  registry().add(linear_cross_entropy_gradients_op());
  registry().add(cross_entropy_weight_op());
}

}  // namespace weft
