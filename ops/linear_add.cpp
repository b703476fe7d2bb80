#include <weft/ops/linear_add.h>

#include <weft/graph/registry.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/fusion.h>
#include <weft/ops/matmul.h>
#include <weft/ops/movement.h>
#include <weft/ops/product.h>
#include <weft/ops/rules.h>

namespace weft {
namespace {

bool transposed(const OpView& view) { return view.attributes.flag("transpose_b"); }

std::vector<TensorType> infer(const OpView& view) {
  expect_float(view, 0);
  expect_same_dtype(view);
  expect_rank(view, 1, 2, "b");
  const Shape &x = view.shape(0), &b = view.shape(1);
  const int inner = transposed(view) ? 1 : 0;
  WEFT_CHECK(x.rank() >= 1 && x[-1] == b[inner], "inner extents must agree: {} has {}, {}{} has {}", x.str(),
             x.rank() > 0 ? x[-1].str() : "none", b.str(), inner == 1 ? " transposed" : "", b[inner].str());
  Shape shape = x;
  shape[-1] = b[1 - inner];
  expect_shape(view, 2, shape, "the addend");
  if (view.has(3)) expect_shape(view, 3, {b[1 - inner]}, "the bias");
  return {{view.type(0).dtype, shape}};
}

// Linear in x and the addend together; rows stay apart.
std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  const bool free = in[1].kind == Kind::free && (!view.has(3) || in[3].kind == Kind::free);
  if (free && in[0].kind == Kind::free && in[2].kind == Kind::free) return {in[0]};
  const bool rows = in[0].kind == Kind::split && in[0].axis < view.shape(0).rank() - 1;
  return {free && in[0] == in[2] && rows ? in[0] : BatchState::mixed()};
}

Gemm gemm_of(const OpView& view) {
  const Shape& b = view.shape(1);
  const bool tb = transposed(view);
  const std::int64_t n = b.extent(tb ? 0 : 1);
  return {.trans_b = tb, .m = view.out_type(0).count() / std::max<std::int64_t>(1, n), .n = n, .k = b.extent(tb ? 1 : 0)};
}

std::size_t workspace(const OpView& view, int threads) {
  const DType dtype = view.type(0).dtype;
  return gemm_workspace(gemm_of(view), dtype, dtype, threads);
}

template <class T>
void kernel(KernelContext& context) {
  using W = Wide<T>;
  const Gemm g = gemm_of(context.view());
  const T* addend = context.in<T>(2);
  const auto add = [&](const GemmTile& tile) {
    constexpr std::int64_t block = 512;
    [[maybe_unused]] W x[block], c[block];
    for (std::int64_t row = 0; row < tile.rows; ++row)
      for (std::int64_t i = 0; i < tile.columns; i += block) {
        const std::int64_t count = std::min(block, tile.columns - i);
        T* y = static_cast<T*>(tile.c) + row * tile.ldc + i;
        W* sum = wide_target(y, c);
        simd<W>().add(widened(addend + (tile.row + row) * g.n + tile.column + i, x, count), widened(y, c, count), sum, count);
        store(sum, y, count);
      }
  };
  gemm_bias(g, context.in<T>(0), context.in<T>(1), context.in<T>(3), context.out<T>(0), gemm_space(g, context), add);
}

Cost cost(const OpView& view) {
  const Gemm g = gemm_of(view);
  double bytes = static_cast<double>(view.out_type(0).bytes());
  for (int i = 0; i < 3; ++i) bytes += static_cast<double>(view.type(i).bytes());
  return {static_cast<double>(g.m) * static_cast<double>(g.n) * (2.0 * static_cast<double>(g.k) + 1), bytes};
}

// addend + round(x op(b) + bias)
Values plain(const Plain& p) {
  const DType wide = p.in[0].dtype() == f64 ? f64 : f32;
  Value y = matmul(cast(p.in[0], wide), cast(p.in[1], wide), {.transpose_b = p.attributes.flag("transpose_b")});
  if (p.in.size() > 3 && !p.in[3].absent()) y = y + cast(p.in[3], wide);
  return p.in[2] + cast(y, p.in[0].dtype());
}

std::optional<Change> with_addend(const Graph& graph, const Readers& readers, const Node& node) {
  if (node.op != &add_op()) return {};
  for (const std::size_t at : {std::size_t{1}, std::size_t{0}}) {
    const ValueRef product = node.operands[at], addend = node.operands[1 - at];
    const Node& made = graph.node(product.node);
    const bool linear = made.op == &linear_op();
    if (!linear && (made.op != &matmul_op() || made.attributes.flag("transpose_a"))) continue;
    if (!readers.one(product) || addend.node > product.node || made.phase != node.phase) continue;
    if (graph.type(addend) != node.types.front() || made.types.front() != node.types.front()) continue;
    if (graph.type(made.operands[1]).shape.rank() != 2) continue;
    Change change{node, {product.node}};
    change.node.op = &linear_add_op();
    change.node.attributes.set("transpose_b", linear || made.attributes.flag("transpose_b"));
    change.node.operands = {made.operands[0], made.operands[1], addend};
    if (made.operands.size() > 2) change.node.operands.push_back(made.operands[2]);
    return change;
  }
  return {};
}

}  // namespace

const OpDef& linear_add_op() {
  using sample::normal, sample::absent;
  const auto turned = [] { return Attributes{{"transpose_b", true}}; };
  static const OpDef op{
      .name = "linear_add",
      .law = "y = addend + x op(b) + bias",
      .least_inputs = 3,
      .most_inputs = 4,
      .infer = infer,
      .batch = batch,
      .plain = plain,
      .traits = {.cheap = false, .precision = Precision::low},
      .cost = cost,
      .kernels = {{.dtype = f32, .run = kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = kernel<float16>, .workspace = workspace}},
      .samples = {{{normal({3, 4}).batched(0), normal({5, 4}), normal({3, 5}).batched(0), normal({5})}, turned()},
                  {{normal({2, 3, 4}).batched(1), normal({4, 2}), normal({2, 3, 2}).batched(1), absent()}},
                  {{normal({4}), normal({4, 3}), normal({3})}},
                  {{normal({12, 64, 130}).batched(0), normal({67, 130}), normal({12, 64, 67}).batched(0), normal({67})},
                   turned(),
                   false},
                  {{normal({700, 33}).batched(0), normal({33, 600}), normal({700, 600}).batched(0)}, {}, false},
                  {{sample::extremes({6, 3}), normal({4, 3}), sample::extremes({6, 4})}, turned(), false}},
      .bad_samples = {{{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {3, 5}}}, {}, "inner extents must agree"},
                      {{{f32, {3, 4}}, {f32, {4}}, {f32, {3, 5}}}, {}, "b must have rank 2"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {f32, {5}}}, {}, "the addend must be [3, 5]"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {f32, {3, 5}}, {f32, {4}}}, {}, "the bias must be [5]"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {bf16, {3, 5}}}, {}, "one dtype"}},
  };
  return op;
}

const Pass& fuse_linear_add() {
  static const Pass pass{.name = "fuse_linear_add",
                         .run = [](const Step& step) { return change_nodes(step, "fuse_linear_add", with_addend); },
                         .late = true};
  return pass;
}

void register_linear_add() { registry().add(linear_add_op()); }

}  // namespace weft
