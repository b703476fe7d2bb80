#include <weft/ops/loss/cross_entropy.h>

#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/loss/cross_entropy_rows.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/kernel.h>

#include <algorithm>

namespace weft {
namespace {

using entropy::TargetRows, entropy::sum_rows;

Shape without_classes(const Shape& logits) { return Shape(std::vector<Dim>(logits.begin(), logits.end() - 1)); }
Value column(const Value& x) {
  Shape shape = x.shape();
  shape.push_back(1);
  return reshape(x, shape);
}

// logits, targets, and the weights as operand `weights`.
void expect_logits_and_targets(const OpView& view, int weights) {
  expect_float(view, 0);
  const Shape& logits = view.shape(0);
  WEFT_CHECK(logits.rank() >= 1, "the logits must be [.., classes], got {}", logits.str());
  entropy::expect_targets(view, 1, without_classes(logits), weights, logits[-1], wide(view.type(0).dtype));
}

template <class W>
TargetRows<W> rows_of(const KernelContext& context, int weights) {
  return {context, context.type(0).shape.extent(-1), 1, weights};
}

// --- cross_entropy: losses_i = (1 - e) w[t] (lse - x[t]) + (e / C) (lse sum_c w[c] - sum_c w[c] x[c]) ---

std::vector<TensorType> cross_entropy_infer(const OpView& view) {
  expect_logits_and_targets(view, 2);
  const DType dtype = wide(view.type(0).dtype);
  return {{dtype, {}}, {dtype, {}}, {dtype, view.shape(1)}, {dtype, view.shape(1)}};
}

std::vector<BatchState> cross_entropy_batch(const OpView&, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const bool weights_free = in.size() < 3 || in[2].kind == Kind::free;
  const BatchState &logits = in[0], &targets = in[1];
  if (logits.kind == Kind::free && targets.kind == Kind::free && weights_free) return std::vector<BatchState>(4);
  const bool rows = weights_free && logits.kind == Kind::split && logits == targets;
  if (!rows) return std::vector<BatchState>(4, BatchState::mixed());
  return {BatchState::summed(), BatchState::summed(), logits, logits};
}

// A row of f32 a thread for the types that are converted.
template <class T>
std::size_t row_buffers(const OpView& view, int threads) {
  return is_narrow<T> ? static_cast<std::size_t>(threads * view.shape(0).extent(-1)) * sizeof(float) : 0;
}

template <class T>
std::size_t cross_entropy_workspace(const OpView& view, int threads) {
  return static_cast<std::size_t>(2 * view.shape(1).count()) * sizeof(double) + row_buffers<T>(view, threads);
}

template <class T>
void cross_entropy_kernel(KernelContext& context) {
  using W = Wide<T>;
  const TargetRows<W> problem = rows_of<W>(context, 2);
  const std::int64_t classes = problem.classes, rows = problem.targets.count();
  auto* losses = reinterpret_cast<double*>(context.workspace());
  double* weights = losses + rows;
  auto* buffers = reinterpret_cast<W*>(weights + rows);
  parallel_for((rows + sum_rows - 1) / sum_rows, [&](std::int64_t block, int slot) {
    for (std::int64_t row = block * sum_rows; row < std::min(rows, (block + 1) * sum_rows); ++row) {
      const W* x =
          widened(context.in<T>(0) + row * classes, is_narrow<T> ? buffers + slot * classes : nullptr, classes);
      const entropy::RowLoss result = entropy::row_loss(problem, row, x);
      context.out<W>(3)[row] = static_cast<W>(result.logsumexp);
      context.out<W>(2)[row] = static_cast<W>(result.loss);
      losses[row] = result.loss;
      weights[row] = result.weight;
    }
  });
  *context.out<W>(0) = static_cast<W>(entropy::sum_in_blocks(rows, [&](std::int64_t row) { return losses[row]; }));
  *context.out<W>(1) = static_cast<W>(entropy::sum_in_blocks(rows, [&](std::int64_t row) { return weights[row]; }));
}

// Pieces of the plain definitions, all of the wide type.
struct Pieces {
  // [.., C] with 0 in rows that do not count: whatever those hold reaches no derivative; one-hot rows; [.., 1], whether
  // a row counts; [C] or absent.
  Value x, hot, valid, weights;
  double smoothing;
  double classes;

  Pieces(const Value& logits, const Value& targets, const Value& class_weights, const Attributes& attributes)
      : smoothing(attributes.number("label_smoothing")), classes(static_cast<double>(logits.dim(-1).value())) {
    const DType dtype = wide(logits.dtype());
    valid = not_equal(column(targets), attributes.integer("ignore_index"));
    x = where(valid, cast(logits, dtype), 0.0);
    hot = cast(one_hot(targets, logits.dim(-1), dtype), boolean);
    weights = class_weights;
  }
  Value weighted(const Value& y) const { return weights.absent() ? y : y * weights; }
  // (1 - e) w[t] [c = t] + (e / C) w[c]: what log p[.., c] counts for.
  Value share() const {
    const Value target = cast(hot, x.dtype()) * (1 - smoothing);
    return weighted(target + smoothing / classes);
  }
};

Values cross_entropy_plain(const Plain& p) {
  const Pieces pieces(p.in[0], p.in[1], p.in.size() > 2 ? p.in[2] : Value{}, p.attributes);
  const Value logs = log_softmax(pieces.x);
  // where, so that a class without probability that does not count is 0, not 0 times infinity.
  const Value share = pieces.share();
  const Value terms = where(logical_and(pieces.valid, not_equal(share, 0.0)), share * logs, 0.0);
  const Value losses = negate(sum(terms, {.axes = {-1}}));
  const Value hot = where(pieces.valid, cast(pieces.hot, pieces.x.dtype()), 0.0);
  return {sum(losses), sum(pieces.weighted(hot)), losses, logsumexp(cast(p.in[0], pieces.x.dtype()))};
}

// d_logits from the cotangents of sum and losses by cross_entropy_backward; of logsumexp: d_lse softmax(x).
void cross_entropy_gradient(Backward& b) {
  const Value weights = b.inputs() > 2 ? b.in(2) : Value{};
  const bool losses = b.has_cotangent(0) || b.has_cotangent(2);
  Value scale;
  if (b.has_cotangent(2)) scale = b.has_cotangent(0) ? b.cotangent(2) + b.cotangent(0) : b.cotangent(2);
  else if (b.has_cotangent(0)) scale = b.cotangent(0);
  if (b.wants(0)) {
    const DType dtype = b.in(0).dtype();
    Value d;
    if (losses) d = build(cross_entropy_backward_op(), {b.in(0), b.in(1), scale, weights}, b.attributes());
    if (b.has_cotangent(3)) {
      const Value more = cast(column(b.cotangent(3)) * softmax(cast(b.in(0), wide(dtype))), dtype);
      d = d.valid() ? d + more : more;
    }
    if (d.valid()) b.input(0, d);
  }
  if (b.wants(2)) {  // d_w[c] = sum_i valid_i (d_weight [c = t_i] - d_i ((1 - e) [c = t_i] + e / C) log p_ic)
    const Pieces pieces(b.in(0), b.in(1), {}, b.attributes());
    Value d = cast(pieces.hot, pieces.x.dtype()) * b.cotangent(1);
    if (losses) {
      const Value each = scale.rank() == 0 ? scale : column(scale), share = pieces.share();
      d = d - where(equal(share, 0.0), 0.0, each * share * log_softmax(pieces.x));
    }
    b.input(2, sum_to(where(pieces.valid, d, 0.0), b.in(2).shape()));
  }
}

// --- cross_entropy_backward(x, t, g, w), g [] or [..]: with p = softmax(x), 0 for rows that do not count
//     d_x[c] = g (((1 - e) w[t] + (e / C) sum_c w[c]) p[c] - (1 - e) w[t] [c = t] - (e / C) w[c]) ---

std::vector<TensorType> cross_entropy_backward_infer(const OpView& view) {
  expect_logits_and_targets(view, 3);
  if (view.shape(2).rank() > 0) expect_shape(view, 2, view.shape(1), "the cotangent");
  expect_dtype(view, 2, wide(view.type(0).dtype));
  return {view.type(0)};
}

std::vector<BatchState> cross_entropy_backward_batch(const OpView& view, std::span<const BatchState> in) {
  BatchState rows;
  bool mixed = false;
  for (const BatchState& state : in) {
    if (state.kind == BatchState::Kind::free) continue;
    if (rows.kind == BatchState::Kind::free) rows = state;
    mixed |= state.kind != BatchState::Kind::split || !(state == rows);
  }
  mixed |= rows.axis == view.shape(0).rank() - 1;
  return {mixed ? rows.as_mixed() : rows};
}

template <class T>
void cross_entropy_backward_kernel(KernelContext& context) {
  using W = Wide<T>;
  const TargetRows<W> problem = rows_of<W>(context, 3);
  const std::int64_t classes = problem.classes;
  const bool each = context.type(2).shape.rank() > 0;
  for_row_tiles(problem.targets.count(), classes, [&](std::int64_t begin, std::int64_t end, int slot) {
    W* buffer = is_narrow<T> ? reinterpret_cast<W*>(context.workspace()) + slot * classes : nullptr;
    for (std::int64_t row = begin; row < end; ++row)
      entropy::row_gradient(problem, row, context.in<T>(0) + row * classes, context.in<W>(2)[each ? row : 0], buffer,
                            context.out<T>(0) + row * classes);
  });
}

Values cross_entropy_backward_plain(const Plain& p) {
  const Pieces pieces(p.in[0], p.in[1], p.in.size() > 3 ? p.in[3] : Value{}, p.attributes);
  const Value &g = p.in[2], share = pieces.share();
  const Value rows = sum(share, {.axes = {-1}, .keep = true}) * softmax(pieces.x) - share;
  return cast(where(pieces.valid, (g.rank() == 0 ? g : column(g)) * rows, 0.0), p.in[0].dtype());
}

Attributes options_of(std::int64_t ignore_index, double label_smoothing) {
  return {{"ignore_index", ignore_index}, {"label_smoothing", label_smoothing}};
}

}  // namespace

const OpDef& cross_entropy_op() {
  using sample::integers, sample::normal, sample::uniform, sample::absent;
  static const OpDef op{
      .name = "cross_entropy",
      .law =
          "losses_i = -(1 - e) w[t_i] log p[i, t_i] - (e / C) sum_c w[c] log p[i, c], p = softmax(logits); "
          "sum = sum_i losses_i, weight = sum_i w[t_i], rows with t_i = ignore_index left out",
      .outputs = {"sum", "weight", "losses", "logsumexp"},
      .least_inputs = 2,
      .most_inputs = 3,
      .infer = cross_entropy_infer,
      .batch = cross_entropy_batch,
      .backward = cross_entropy_gradient,
      .plain = cross_entropy_plain,
      .terms = terms_are({{.output = 0, .factors = {2}, .inner = {{0}, {1}}},
                          {.output = 1, .factors = {2}, .inner = {{1}}},
                          {.output = 2, .factors = {2}, .inner = {{0}, {1}}},
                          {.output = 3, .inner = {{0}}}}),
      .wide_operands = {2},
      .traits = {.refuses = true},
      .lowerings = {&chunk_projection_loss_pass()},
      .kernels = {{.dtype = f32, .run = cross_entropy_kernel<float>, .workspace = cross_entropy_workspace<float>},
                  {.dtype = f64, .run = cross_entropy_kernel<double>, .workspace = cross_entropy_workspace<double>},
                  {.dtype = bf16,
                   .run = cross_entropy_kernel<bfloat16>,
                   .workspace = cross_entropy_workspace<bfloat16>},
                  {.dtype = f16, .run = cross_entropy_kernel<float16>, .workspace = cross_entropy_workspace<float16>}},
      .samples = {{{normal({4, 5}).batched(0), integers({4}, 0, 5).batched(0)}, options_of(-100, 0)},
                  {{normal({2, 3, 5}).batched(1), integers({2, 3}, 0, 5).batched(1)}, options_of(2, 0.1)},
                  {{normal({4, 5}).batched(0), integers({4}, 0, 5).batched(0), uniform({5}, 0.5, 2)},
                   options_of(1, 0.2)},
                  {{normal({3, 2}), integers({3}, -1, 2), uniform({2}, 0.5, 2)}, options_of(-1, 0)},
                  {{normal({5}), integers({}, 0, 5), absent()}, options_of(-100, 0.3)},
                  {{normal({200, 65}).batched(0), integers({200}, 0, 65).batched(0)}, options_of(-100, 0), false},
                  {{normal({3, 2100}).batched(0), integers({3}, 0, 2100).batched(0)}, options_of(-100, 0.1), false},
                  {{sample::extremes({18, 2}), integers({18}, 0, 2)}, options_of(-100, 0), false},
                  {{uniform({9, 5}, -1e4, 1e4), integers({9}, 0, 5)}, options_of(-100, 0.1), false}},
      .bad_samples = {{{{i64, {4, 5}}, {i64, {4}}}, options_of(-100, 0), "floating type"},
                      {{{f32, {4, 5}}, {f32, {4}}}, options_of(-100, 0), "i32 or i64"},
                      {{{f32, {4, 5}}, {i64, {5}}}, options_of(-100, 0), "the targets must be [4]"},
                      {{{f32, {}}, {i64, {}}}, options_of(-100, 0), "[.., classes]"},
                      {{{f32, {4, 5}}, {i64, {4}}}, options_of(-100, 1.5), "label_smoothing must be in [0, 1]"},
                      {{{f32, {4, 5}}, {i64, {4}}, {f32, {4}}}, options_of(-100, 0), "the class weights must be [5]"},
                      {{{f32, {4, 5}}, {i64, {4}}, {f64, {5}}}, options_of(-100, 0), "must be f32"}},
  };
  return op;
}

const OpDef& cross_entropy_backward_op() {
  using sample::integers, sample::normal, sample::uniform;
  static const OpDef op{
      .name = "cross_entropy_backward",
      .law =
          "d_x[i, c] = g_i (((1 - e) w[t_i] + (e / C) sum_c w[c]) p[i, c] - (1 - e) w[t_i] [c = t_i] - (e / C) w[c])",
      .outputs = {"d_logits"},
      .least_inputs = 3,
      .most_inputs = 4,
      .infer = cross_entropy_backward_infer,
      .batch = cross_entropy_backward_batch,
      .plain = cross_entropy_backward_plain,
      .terms = linear_in({2, 3}, {{0}, {1}}),
      .wide_operands = {2, 3},
      .traits = {.refuses = true, .in_place = {{0, 0}}, .precision = Precision::f32},
      .kernels = {{.dtype = f32, .run = cross_entropy_backward_kernel<float>, .workspace = row_buffers<float>},
                  {.dtype = f64, .run = cross_entropy_backward_kernel<double>, .workspace = row_buffers<double>},
                  {.dtype = bf16, .run = cross_entropy_backward_kernel<bfloat16>, .workspace = row_buffers<bfloat16>},
                  {.dtype = f16, .run = cross_entropy_backward_kernel<float16>, .workspace = row_buffers<float16>}},
      .samples = {{{normal({4, 5}).batched(0), integers({4}, 0, 5).batched(0), normal({})}, options_of(-100, 0)},
                  {{normal({2, 3, 5}).batched(1), integers({2, 3}, 0, 5).batched(1), normal({2, 3}).batched(1)},
                   options_of(2, 0.1)},
                  {{normal({4, 5}).batched(0), integers({4}, 0, 5).batched(0), normal({}), uniform({5}, 0.5, 2)},
                   options_of(1, 0.2)},
                  {{normal({3, 2100}).batched(0), integers({3}, 0, 2100).batched(0), normal({}),
                    uniform({2100}, 0.5, 2)},
                   options_of(-100, 0.1),
                   false}},
      .bad_samples = {{{{f32, {4, 5}}, {i64, {4}}, {f64, {}}}, options_of(-100, 0), "must be f32"},
                      {{{f32, {4, 5}}, {i64, {4}}, {f32, {5}}}, options_of(-100, 0), "the cotangent must be [4]"}},
  };
  return op;
}

namespace {

// The classes as the last axis.
Value classes_last(const Arg& x, int class_axis) {
  const Value& value = x.value();
  if (!value.valid() || value.rank() == 0) return value;
  const int axis = normalize_axis(class_axis, value.rank());
  if (axis == value.rank() - 1) return value;
  std::vector<std::int64_t> order;
  for (int i = 0; i < value.rank(); ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  return transpose(x, order);
}

}  // namespace

CrossEntropy cross_entropy_terms(const Arg& logits, const Arg& targets, const CrossEntropyOptions& options) {
  const auto line = called_at({logits});
  const Values y = build_all(
      cross_entropy_op(), {{classes_last(logits, options.class_axis), logits.where()}, targets, options.class_weights},
      options_of(options.ignore_index, options.label_smoothing));
  return {y[0], y[1], y[2], y[3]};
}

Loss cross_entropy(const Arg& logits, const Arg& targets, const CrossEntropyOptions& options) {
  const auto line = called_at({logits});
  const CrossEntropy terms = cross_entropy_terms(logits, targets, options);
  return LossTerm{1, terms.sum, terms.weight};
}

Value token_losses(const Arg& logits, const Arg& targets, const CrossEntropyOptions& options) {
  const auto line = called_at({logits});
  return cross_entropy_terms(logits, targets, options).losses;
}

Loss soft_cross_entropy(const Arg& logits, const Arg& probabilities, const CrossEntropyOptions& options) {
  const auto line = called_at({logits});
  const Value logs = log_softmax({classes_last(logits, options.class_axis), logits.where()});
  if (!logs.valid()) return LossTerm{1, logs, logs};
  Value q = classes_last(probabilities, options.class_axis);
  if (options.label_smoothing > 0)
    q = q * (1 - options.label_smoothing) + options.label_smoothing / static_cast<double>(logs.dim(-1).value());
  if (!options.class_weights.absent()) q = q * options.class_weights;
  const Value losses = negate(sum(q * logs, {.axes = {-1}}));
  return LossTerm{1, sum(losses), sum(ones_like(losses))};
}

void register_cross_entropy() {
  registry().add(cross_entropy_op());
  registry().add(cross_entropy_backward_op());
}

}  // namespace weft
