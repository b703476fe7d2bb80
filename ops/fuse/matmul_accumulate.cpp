#include <weft/ops/fuse/matmul_accumulate.h>

#include <weft/graph/pass.h>
#include <weft/graph/registry.h>
#include <weft/ops/fuse/fusion.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/product/product.h>
#include <weft/ops/step/micro.h>
#include <weft/runtime/gemm_tiles.h>

#include <algorithm>

namespace weft {
namespace {

std::vector<TensorType> infer(const OpView& view) {
  expect_rank(view, 0, 2, "a");
  expect_rank(view, 1, 2, "b");
  TensorType type = matmul_op().infer(view).front();
  type.dtype = accumulator_dtype(type.dtype);
  return {type};
}

// As of the product, where that is a sum over the examples.
std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  const BatchState product = matmul_op().batch(view, in).front();
  return {product.kind == BatchState::Kind::summed ? product : product.as_mixed()};
}

Gemm gemm_of(const OpView& view) {
  const bool ta = view.attributes.flag("transpose_a"), tb = view.attributes.flag("transpose_b");
  return {.trans_a = ta,
          .trans_b = tb,
          .m = view.shape(0).extent(ta ? 1 : 0),
          .n = view.shape(1).extent(tb ? 0 : 1),
          .k = view.shape(0).extent(ta ? 0 : 1)};
}

std::size_t workspace(const OpView& view, int threads) {
  const DType dtype = view.type(0).dtype;
  return gemm_tiles_workspace(gemm_of(view), dtype, dtype, threads);
}

template <class T>
void kernel(KernelContext& context) {
  using W = Wide<T>;
  const Gemm g = gemm_of(context.view());
  const DType dtype = context.type(0).dtype;
  const std::span<std::byte> space{context.workspace(), workspace(context.view(), threads())};
  const bool first = context.micro().index == 0;
  W* y = context.out<W>(0);
  if constexpr (!is_narrow<T>)
    if (first) return gemm(g, context.in<T>(0), context.in<T>(1), y, space);
  gemm_tiles(g, dtype, dtype, context.in<T>(0), context.in<T>(1), space, [&](const GemmTile& tile) {
    constexpr std::int64_t block = 512;
    [[maybe_unused]] W wide[block];
    for (std::int64_t row = 0; row < tile.rows; ++row)
      for (std::int64_t i = 0; i < tile.columns; i += block) {
        const std::int64_t count = std::min(block, tile.columns - i);
        const W* x = widened(static_cast<const T*>(tile.c) + row * tile.ldc + i, wide, count);
        W* to = y + (tile.row + row) * g.n + tile.column + i;
        if (first) std::copy_n(x, count, to);
        else simd<W>().add(to, x, to, count);
      }
  });
}

Cost cost(const OpView& view) {
  const Gemm g = gemm_of(view);
  const double bytes = static_cast<double>(view.type(0).bytes() + view.type(1).bytes() + 2 * view.out_type(0).bytes());
  return {2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k), bytes};
}

// Of the one micro-batch that samples have.
Values plain(const Plain& p) {
  return cast(
      matmul(p.in[0], p.in[1],
             {.transpose_a = p.attributes.flag("transpose_a"), .transpose_b = p.attributes.flag("transpose_b")}),
      p.out[0].dtype);
}

Attributes transposed(bool a, bool b) { return {{"transpose_a", a}, {"transpose_b", b}}; }

// Whether the buffers of tiles of a few threads take no more than the product did.
bool is_cut(const Graph& graph, const Node& matmul) {
  const Gemm g = gemm_of(graph.view(matmul)->view);
  const GemmCut cut = gemm_cut(g);
  return 4 * cut.rows * cut.columns <= g.m * g.n;
}

std::optional<Change> with_product(const Graph& graph, const Readers& readers, const Node& node) {
  // A fetched accumulator is looked up by what it gathers (Program::tensor).
  if (node.op != &accumulate_sum_op() || readers.root({node.id, 0})) return {};
  Change change{node, {}};
  ValueRef product = node.operands.front();
  if (!readers.one(product)) return {};
  change.taken_over = {product.node};
  if (const Node& widening = graph.node(product.node); widening.op == &cast_op()) {
    product = widening.operands.front();
    const DType dtype = graph.type(product).dtype;
    if (!readers.one(product) || !is_narrow_type(dtype) || widening.types.front().dtype != f32) return {};
    change.taken_over.push_back(product.node);
  }
  const Node& matmul = graph.node(product.node);
  if (matmul.op != &matmul_op() || matmul.phase != Phase::micro || matmul.types.front().shape.rank() != 2) return {};
  if (!is_cut(graph, matmul)) return {};
  for (const ValueRef& operand : matmul.operands)  // what gathers reads values of micro-batches
    if (graph.node(operand.node).phase != Phase::micro || graph.node(operand.node).op->traits.source) return {};
  change.node.op = &matmul_accumulate_op();
  change.node.attributes = matmul.attributes;
  change.node.operands = matmul.operands;
  return change;
}

}  // namespace

const OpDef& matmul_accumulate_op() {
  using sample::normal;
  static const OpDef op{
      .name = "matmul_accumulate",
      .law = "y = sum over the micro-batches of op(a) op(b)",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = infer,
      .batch = batch,
      .plain = plain,
      .terms = linear_in({0, 1}),
      .traits = {.recomputable = false, .gathers = true, .cheap = false},
      .cost = cost,
      .kernels = {{.dtype = f32, .run = kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = kernel<float16>, .workspace = workspace}},
      .samples = {{{normal({4, 3}).batched(0), normal({4, 5}).batched(0)}, transposed(true, false)},
                  {{normal({3, 4}), normal({4, 5})}, transposed(false, false)},
                  {{normal({3, 4}), normal({5, 4})}, transposed(false, true)},
                  {{normal({300, 70}).batched(0), normal({300, 600}).batched(0)}, transposed(true, false), false}},
      .bad_samples = {{{{f32, {2, 3, 4}}, {f32, {4, 5}}}, transposed(false, false), "a must have rank 2"},
                      {{{f32, {3, 4}}, {f32, {3, 5}}}, transposed(false, false), "inner extents must agree"}},
  };
  return op;
}

const Pass& fuse_accumulate() {
  static const Pass pass{.name = "fuse_accumulate",
                         .run = [](const Step& step) { return change_nodes(step, "fuse_accumulate", with_product); },
                         .late = true};
  return pass;
}

void register_matmul_accumulate() { registry().add(matmul_accumulate_op()); }

}  // namespace weft
