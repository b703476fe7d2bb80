#include <weft/ops/product/matmul.h>

#include <weft/graph/registry.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/product.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/wide.h>

#include <algorithm>
#include <utility>

namespace weft {
namespace {

// --- matmul: y = op(a) op(b), op transposes the last two axes if told ---

// What the axes of the operands are.
struct Layout {
  bool transpose_a, transpose_b;
  int rank_a, rank_b;
  explicit Layout(const OpView& view)
      : transpose_a(view.attributes.flag("transpose_a")),
        transpose_b(view.attributes.flag("transpose_b")),
        rank_a(view.shape(0).rank()),
        rank_b(view.shape(1).rank()) {}
  int rank() const { return std::max(rank_a, rank_b); }
  int row_axis() const { return rank_a - (transpose_a ? 1 : 2); }     // M in a
  int inner_a() const { return rank_a - (transpose_a ? 2 : 1); }      // K in a
  int inner_b() const { return rank_b - (transpose_b ? 1 : 2); }      // K in b
  int column_axis() const { return rank_b - (transpose_b ? 2 : 1); }  // N in b
};

Shape leading(const Shape& shape) { return Shape(std::vector<Dim>(shape.begin(), shape.end() - 2)); }

std::vector<TensorType> matmul_infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  const Shape &a = view.shape(0), &b = view.shape(1);
  WEFT_CHECK(a.rank() >= 2 && b.rank() >= 2, "operands must have 2 axes or more, got {} and {}", a.str(), b.str());
  const Layout layout(view);
  WEFT_CHECK(
      a[layout.inner_a()] == b[layout.inner_b()],
      "inner extents must agree: {}{} has {}, {}{} has {}; hint: transpose_a and transpose_b swap the last two axes",
      a.str(), layout.transpose_a ? " transposed" : "", a[layout.inner_a()].str(), b.str(),
      layout.transpose_b ? " transposed" : "", b[layout.inner_b()].str());
  Shape shape = broadcast(leading(a), leading(b));
  shape.push_back(a[layout.row_axis()]);
  shape.push_back(b[layout.column_axis()]);
  return {{view.type(0).dtype, shape}};
}

// Where an axis of an operand is in y; -1: it is the inner one.
BatchState placed(const BatchState& state, int rank, int inner, int outer, int place, int rank_y) {
  if (!state.in_shape()) return state;
  if (state.axis == inner) return state.moved_to(-1);
  return state.moved_to(state.axis == outer ? place : state.axis + rank_y - rank);
}

// Rows, columns and leading axes keep the batch; contracting over it sums; linear in each operand.
std::vector<BatchState> matmul_batch(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const Layout l(view);
  const BatchState a = placed(in[0], l.rank_a, l.inner_a(), l.row_axis(), l.rank() - 2, l.rank());
  const BatchState b = placed(in[1], l.rank_b, l.inner_b(), l.column_axis(), l.rank() - 1, l.rank());
  if (a.kind == Kind::free && b.kind == Kind::free) return {a};
  if (a.kind == Kind::free || b.kind == Kind::free) {
    const BatchState& only = a.kind == Kind::free ? b : a;
    const bool contracted = only.kind == Kind::split && !only.in_shape();
    return {contracted ? BatchState::mixed() : only};
  }
  const bool both = a.kind == Kind::split && a == b;
  if (both) return {a.in_shape() ? a : BatchState::summed()};
  return {a.in_shape() ? a.as_mixed() : b.in_shape() ? b.as_mixed() : BatchState::mixed()};
}

// One batched product, and how often it is repeated for outer axes that only one operand has.
struct Products {
  Gemm gemm;
  int outer = 0;  // leading axes of y that are walked one by one
};

// Number of matrices; kernels ask it, so it allocates nothing.
std::int64_t matrices(const Shape& shape) {
  std::int64_t count = 1;
  for (int axis = 0; axis < shape.rank() - 2; ++axis) count *= shape.extent(axis);
  return count;
}

std::int64_t leading_extent(const Shape& shape, int rank, int axis) {
  const int own = axis - (rank - shape.rank());
  return own < 0 ? 1 : shape.extent(own);
}

Products products(const OpView& view) {
  const Layout layout(view);
  const Shape &a = view.shape(0), &b = view.shape(1);
  Products p;
  Gemm& g = p.gemm;
  g = {.trans_a = layout.transpose_a,
       .trans_b = layout.transpose_b,
       .m = a.extent(layout.row_axis()),
       .n = b.extent(layout.column_axis()),
       .k = a.extent(layout.inner_a())};
  const int rank = layout.rank();
  const std::int64_t size_a = g.m * g.k, size_b = g.k * g.n;
  if (matrices(b) == 1 && !g.trans_a) {  // a shared right operand: the rows of all leading axes are one matrix
    g.m *= matrices(a);
    return p;
  }
  // As many inner leading axes as possible, along which each operand steps or stands still throughout.
  int axis = rank - 2;
  std::int64_t batch_a = 1, batch_b = 1;
  for (; axis > 0; --axis) {
    const std::int64_t of_a = leading_extent(a, rank, axis - 1), of_b = leading_extent(b, rank, axis - 1);
    const std::int64_t batch = g.batch * std::max(of_a, of_b);
    if ((batch_a * of_a != batch && batch_a * of_a != 1) || (batch_b * of_b != batch && batch_b * of_b != 1)) break;
    g.batch = batch;
    batch_a *= of_a;
    batch_b *= of_b;
  }
  g.stride_a = batch_a > 1 ? size_a : 0;
  g.stride_b = batch_b > 1 ? size_b : 0;
  g.stride_c = g.m * g.n;
  p.outer = axis;
  return p;
}

template <class T>
void matmul_kernel(KernelContext& context) {
  const OpView& view = context.view();
  const Products p = products(view);
  const Shape &a = view.shape(0), &b = view.shape(1), &y = view.out_type(0).shape;
  std::int64_t repeats = 1;
  for (int axis = 0; axis < p.outer; ++axis) repeats *= y.extent(axis);
  for (std::int64_t i = 0; i < repeats; ++i) {
    // Offsets in matrices, by the index of y's outer axes.
    std::int64_t rest = i, at_a = 0, at_b = 0, step_a = 1, step_b = 1;
    for (int axis = y.rank() - 3; axis >= 0; --axis) {
      const std::int64_t of_a = leading_extent(a, y.rank(), axis), of_b = leading_extent(b, y.rank(), axis);
      if (axis < p.outer) {
        const std::int64_t index = rest % y.extent(axis);
        rest /= y.extent(axis);
        at_a += of_a > 1 ? index * step_a : 0;
        at_b += of_b > 1 ? index * step_b : 0;
      }
      step_a *= of_a;
      step_b *= of_b;
    }
    gemm(p.gemm, context.in<T>(0) + at_a * a.extent(-1) * a.extent(-2),
         context.in<T>(1) + at_b * b.extent(-1) * b.extent(-2),
         context.out<T>(0) + i * p.gemm.batch * p.gemm.m * p.gemm.n, gemm_space(p.gemm, context));
  }
}

std::size_t matmul_workspace(const OpView& view, int threads) {
  return gemm_workspace(products(view).gemm, view.type(0).dtype, view.type(0).dtype, threads);
}

Cost matmul_cost(const OpView& view) {
  const Products p = products(view);
  double bytes = static_cast<double>(view.type(0).bytes() + view.type(1).bytes() + view.out_type(0).bytes());
  return {2.0 * static_cast<double>(view.out_type(0).count()) * static_cast<double>(p.gemm.k), bytes};
}

// y[.., m, n] = sum_k a[.., m, k] b[.., k, n]
Values matmul_plain(const Plain& p) {
  const auto matrix = [](const Value& x, bool transposed, int one) {  // [.., M, K, 1] or [.., 1, K, N], wide
    const Value y = transposed ? transpose(x, -1, -2) : x;
    Shape shape = y.shape();
    shape.insert(shape.rank() - one, 1);
    return reshape(cast(y, wide(x.dtype())), shape);
  };
  const Value a = matrix(p.in[0], p.attributes.flag("transpose_a"), 0);
  const Value b = matrix(p.in[1], p.attributes.flag("transpose_b"), 2);
  return cast(sum(a * b, {.axes = {-2}}), p.in[0].dtype());
}

// d_op(a) = d_y op(b)^T, d_op(b) = op(a)^T d_y. A right operand shared by all rows takes its gradient in one product,
// summed over the leading axes inside it.
void matmul_backward(Backward& b) {
  const bool ta = b.attributes().flag("transpose_a"), tb = b.attributes().flag("transpose_b");
  const Value &x = b.in(0), &w = b.in(1), d_y = b.cotangent(0);
  if (b.wants(0)) {
    b.input(0, ta ? matmul(w, d_y, {.transpose_a = tb, .transpose_b = true}) : matmul(d_y, w, {.transpose_b = !tb}));
  }
  if (b.wants(1)) {
    const bool flat = w.rank() == 2 && x.rank() > 2 && !ta;
    const Value rows = flat ? flat_rows(x) : x, d_rows = flat ? flat_rows(d_y) : d_y;
    b.input(1, tb ? matmul(d_rows, rows, {.transpose_a = true, .transpose_b = ta})
                  : matmul(rows, d_rows, {.transpose_a = !ta}));
  }
}

Attributes transposed(bool a, bool b) {
  Attributes attributes;
  if (a) attributes.set("transpose_a", true);
  if (b) attributes.set("transpose_b", true);
  return attributes;
}

// --- linear: y = x weight^T + bias ---

std::vector<TensorType> linear_infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "the weight");
  const Shape &x = view.shape(0), &weight = view.shape(1);
  WEFT_CHECK(x.rank() >= 1 && x[-1] == weight[1], "x must be [.., in] for a weight [out, in]: got {} and {}", x.str(),
             weight.str());
  if (view.has(2)) expect_shape(view, 2, {weight[0]}, "the bias");
  Shape shape = x;
  shape[-1] = weight[0];
  return {{view.type(0).dtype, shape}};
}

std::vector<BatchState> linear_batch(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const int only = only_batched(in);
  if (only == -1) return {BatchState{}};
  const BatchState state = only >= 0 ? in[static_cast<std::size_t>(only)] : BatchState::mixed();
  if (only == 0 && state.kind == Kind::split && state.axis < view.shape(0).rank() - 1) return {state};
  if ((only == 0 || only == 1) && state.kind == Kind::summed && !view.has(2)) return {state};
  return {only == 0 && state.axis < view.shape(0).rank() - 1 ? state.as_mixed() : BatchState::mixed()};
}

Gemm linear_gemm(const OpView& view) {
  const Shape& weight = view.shape(1);
  return {.trans_b = true,
          .m = view.out_type(0).count() / std::max<std::int64_t>(1, weight.extent(0)),
          .n = weight.extent(0),
          .k = weight.extent(1)};
}

template <class T>
void linear_kernel(KernelContext& context) {
  const Gemm g = linear_gemm(context.view());
  gemm_bias(g, context.in<T>(0), context.in<T>(1), context.in<T>(2), context.out<T>(0), gemm_space(g, context));
}

std::size_t linear_workspace(const OpView& view, int threads) {
  return gemm_workspace(linear_gemm(view), view.type(0).dtype, view.type(0).dtype, threads);
}

Cost linear_cost(const OpView& view) {
  double bytes = static_cast<double>(view.type(0).bytes() + view.type(1).bytes() + view.out_type(0).bytes());
  return {2.0 * static_cast<double>(view.out_type(0).count()) * static_cast<double>(view.shape(1).extent(1)), bytes};
}

Values linear_plain(const Plain& p) {
  const DType dtype = p.in[0].dtype();
  Value y = matmul(cast(p.in[0], wide(dtype)), cast(p.in[1], wide(dtype)), {.transpose_b = true});
  if (p.in.size() > 2 && !p.in[2].absent()) y = y + cast(p.in[2], wide(dtype));
  return cast(y, dtype);
}

// d_x = d_y weight, d_weight = d_y^T x over all rows, d_bias = the sum of d_y over all rows
void linear_backward(Backward& b) {
  const Value d_y = b.cotangent(0);
  if (b.wants(0)) b.input(0, matmul(d_y, b.in(1)));
  if (b.wants(1)) b.input(1, matmul(flat_rows(d_y), flat_rows(b.in(0)), {.transpose_a = true}));
  if (b.wants(2)) b.input(2, sum_to(d_y, b.in(2).shape()));
}

}  // namespace

const OpDef& matmul_op() {
  using sample::normal;
  static const OpDef op{
      .name = "matmul",
      .law = "y[.., m, n] = sum_k a[.., m, k] b[.., k, n]",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = matmul_infer,
      .batch = matmul_batch,
      .backward = matmul_backward,
      .plain = matmul_plain,
      .terms = linear_in({0, 1}),
      .units =
          [](const OpView& view) {
            std::vector<UnitAxis> units;
            if (view.shape(0).rank() == 2) units.push_back({0, view.attributes.flag("transpose_a") ? 1 : 0});
            if (view.shape(1).rank() == 2) units.push_back({1, view.attributes.flag("transpose_b") ? 0 : 1});
            return units;
          },
      .traits = {.cheap = false, .precision = Precision::low},
      .lowerings = {&fuse_matmul_epilogue()},
      .cost = matmul_cost,
      .kernels = {{.dtype = f32, .run = matmul_kernel<float>, .workspace = matmul_workspace},
                  {.dtype = f64, .run = matmul_kernel<double>, .workspace = matmul_workspace},
                  {.dtype = bf16, .run = matmul_kernel<bfloat16>, .workspace = matmul_workspace},
                  {.dtype = f16, .run = matmul_kernel<float16>, .workspace = matmul_workspace}},
      .samples = {{{normal({3, 4}).batched(0), normal({4, 5})}},
                  {{normal({4, 3}), normal({4, 5}).batched(1)}, transposed(true, false)},
                  {{normal({3, 4}).batched(1), normal({5, 4}).batched(1)}, transposed(false, true)},
                  {{normal({4, 3}).batched(0), normal({5, 4}).batched(1)}, transposed(true, true)},
                  {{normal({2, 3, 4}).batched(0), normal({4, 2})}},
                  {{normal({2, 3, 4}).batched(1), normal({2, 4})}, transposed(false, true)},
                  {{normal({2, 4, 3}).batched(0), normal({4, 2})}, transposed(true, false)},
                  {{normal({2, 3, 4}).batched(0), normal({2, 4, 3}).batched(0)}},
                  {{normal({3, 1, 2, 3}).batched(0), normal({2, 3, 2})}},
                  {{normal({2, 1, 2, 3}).batched(0), normal({1, 3, 3, 1})}},
                  {{normal({2, 1, 3, 2, 2}).batched(0), normal({2, 1, 2, 2}).batched(0)}},
                  {{normal({1, 3}), normal({2, 3, 1}).batched(0)}},
                  {{normal({12, 64, 130}).batched(0), normal({130, 67})}, {}, false},
                  {{normal({12, 64, 33}).batched(0), normal({12, 65, 33}).batched(0)}, transposed(false, true), false},
                  {{normal({300, 70}).batched(0), normal({300, 130}).batched(0)}, transposed(true, false), false},
                  {{sample::extremes({6, 3}), normal({3, 4})}, {}, false}},
      .bad_samples = {{{{i64, {3, 4}}, {i64, {4, 5}}}, {}, "floating type"},
                      {{{f32, {3, 4}}, {f64, {4, 5}}}, {}, "one dtype"},
                      {{{f32, {3, 4}}, {f32, {4}}}, {}, "2 axes or more"},
                      {{{f32, {3, 4}}, {f32, {3, 5}}}, {}, "inner extents must agree"},
                      {{{f32, {2, 3, 4}}, {f32, {3, 4, 5}}}, {}, "broadcast"}},
  };
  return op;
}

const OpDef& linear_op() {
  using sample::normal, sample::absent;
  static const OpDef op{
      .name = "linear",
      .law = "y[.., o] = sum_i x[.., i] weight[o, i] + bias[o]",
      .least_inputs = 2,
      .most_inputs = 3,
      .infer = linear_infer,
      .batch = linear_batch,
      .backward = linear_backward,
      .plain = linear_plain,
      .terms = terms_are({{.factors = {0, 1}}, {.factors = {2}}}),
      .units = units_in_rows({1, 2}),
      .traits = {.cheap = false, .precision = Precision::low},
      .lowerings = {&fuse_matmul_epilogue()},
      .cost = linear_cost,
      .kernels = {{.dtype = f32, .run = linear_kernel<float>, .workspace = linear_workspace},
                  {.dtype = f64, .run = linear_kernel<double>, .workspace = linear_workspace},
                  {.dtype = bf16, .run = linear_kernel<bfloat16>, .workspace = linear_workspace},
                  {.dtype = f16, .run = linear_kernel<float16>, .workspace = linear_workspace}},
      .samples = {{{normal({3, 4}).batched(0), normal({5, 4}), normal({5})}},
                  {{normal({2, 3, 4}).batched(1), normal({2, 4}), absent()}},
                  {{normal({4}), normal({3, 4}), normal({3})}},
                  {{normal({2, 1, 2, 3}).batched(0), normal({1, 3}), normal({1})}},
                  {{normal({12, 64, 130}).batched(0), normal({67, 130}), normal({67})}, {}, false},
                  {{sample::extremes({6, 3}), normal({4, 3}), normal({4})}, {}, false}},
      .bad_samples = {{{{f32, {3, 4}}, {f32, {4, 5}}}, {}, "x must be [.., in]"},
                      {{{f32, {3, 4}}, {f32, {4}}}, {}, "the weight must have rank 2"},
                      {{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {4}}}, {}, "the bias must be [5]"},
                      {{{f32, {3, 4}}, {bf16, {5, 4}}}, {}, "one dtype"}},
  };
  return op;
}

Value matmul(const Arg& a, const Arg& b, MatmulOptions options) {
  const auto line = called_at({a});
  Value left = a.value(), right = b.value();
  const bool row = left.valid() && left.rank() == 1, column = right.valid() && right.rank() == 1;
  if (row) {
    left = reshape(a, {1, left.dim(0)});
    options.transpose_a = false;
  }
  if (column) {
    right = reshape(b, {right.dim(0), 1});
    options.transpose_b = false;
  }
  const Value y =
      build(matmul_op(), {{left, a.where()}, {right, b.where()}}, transposed(options.transpose_a, options.transpose_b));
  if ((!row && !column) || !y.valid()) return y;
  Shape shape = y.shape();
  if (row) shape.erase(shape.rank() - 2);
  if (column) shape.erase(shape.rank() - 1);
  return reshape({y, a.where()}, shape);
}

Value linear(const Arg& x, const Arg& weight, const Arg& bias) { return build(linear_op(), {x, weight, bias}); }

Value flat_rows(const Arg& x) {
  const auto line = called_at({x});
  const Value& value = x.value();
  if (!value.valid() || value.rank() == 2) return value;
  return reshape(x, {flat_extent(value.shape(), value.rank() - 1), value.dim(-1)});
}

void register_matmul() {
  registry().add(matmul_op());
  registry().add(linear_op());
}

}  // namespace weft
