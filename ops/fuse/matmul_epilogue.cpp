#include <weft/ops/fuse/matmul_epilogue.h>

#include <weft/graph/pass.h>
#include <weft/graph/registry.h>
#include <weft/ops/fuse/fusion.h>
#include <weft/ops/fuse/passes.h>
#include <weft/ops/kit/build.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/product/product.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/gemm_tiles.h>
#include <weft/runtime/random.h>

#include <algorithm>

namespace weft {
namespace {

// --- y = addend + widen(dropout(op(a) op(b) + bias)) ---

DType result_dtype(const Attributes& attributes, DType dtype) {
  return attributes.flag("widen") && dtype != f64 ? f32 : dtype;
}

std::vector<TensorType> infer(const OpView& view) {
  expect_float(view, 0);
  const DType dtype = view.type(0).dtype, result = result_dtype(view.attributes, dtype);
  expect_dtype(view, 1, dtype);
  expect_rank(view, 1, 2, "b");
  const bool turn_a = view.attributes.flag("transpose_a"), turn_b = view.attributes.flag("transpose_b");
  if (turn_a) expect_rank(view, 0, 2, "a transposed");
  const Shape &a = view.shape(0), &b = view.shape(1);
  WEFT_CHECK(a.rank() >= 1 && a[turn_a ? 0 : -1] == b[turn_b ? 1 : 0],
             "inner extents must agree: {}{} has {}, {}{} has {}", a.str(), turn_a ? " transposed" : "",
             a.rank() > 0 ? a[turn_a ? 0 : -1].str() : "none", b.str(), turn_b ? " transposed" : "",
             b[turn_b ? 1 : 0].str());
  Shape shape = a;
  if (turn_a) shape[0] = a[1];
  shape[-1] = b[turn_b ? 0 : 1];
  if (view.has(2)) {
    expect_dtype(view, 2, result);
    expect_shape(view, 2, shape, "the addend");
  }
  if (view.has(3)) {
    expect_dtype(view, 3, dtype);
    expect_shape(view, 3, {shape[-1]}, "the bias");
  }
  const double p = view.attributes.get_or<double>("p", 0);
  WEFT_CHECK(0 <= p && p < 1, "the probability p must be in [0, 1), got {}", p);
  return {{result, shape}};
}

// Linear in a and the addend together; rows stay apart. Dropout counts rows over the full batch: it lies outermost.
std::vector<BatchState> batch(const OpView& view, std::span<const BatchState> in) {
  using Kind = BatchState::Kind;
  if (std::ranges::all_of(in, [](const BatchState& state) { return state.kind == Kind::free; })) return {in[0]};
  if (view.shape(0).rank() == 1) return {BatchState::mixed()};
  const bool with_addend = view.has(2), with_bias = view.has(3), drops = view.attributes.has("stream");
  const BatchState product = matmul_op().batch(view, in.first(2)).front();
  const bool free_bias = !with_bias || (in[3].kind == Kind::free && product.kind == Kind::split);
  const bool meets = !with_addend || in[2] == product;
  const bool outermost = !drops || (product.kind == Kind::split && product.axis == 0 && product.outer == 1 &&
                                    view.out_type(0).shape.rank() > 1);
  if (free_bias && meets && outermost) return {product};
  return {product.in_shape() ? product.as_mixed() : BatchState::mixed()};
}

Gemm gemm_of(bool turn_a, bool turn_b, const Shape& b, const TensorType& y) {
  const std::int64_t n = b.extent(turn_b ? 0 : 1);
  return {.trans_a = turn_a,
          .trans_b = turn_b,
          .m = y.count() / std::max<std::int64_t>(1, n),
          .n = n,
          .k = b.extent(turn_b ? 1 : 0)};
}

Gemm gemm_of(const OpView& view) {
  return gemm_of(view.attributes.flag("transpose_a"), view.attributes.flag("transpose_b"), view.shape(1),
                 view.out_type(0));
}

std::size_t workspace(const OpView& view, int threads) {
  const DType dtype = view.type(0).dtype;
  return view.out_type(0).dtype == dtype ? gemm_workspace(gemm_of(view), dtype, dtype, threads)
                                         : gemm_tiles_workspace(gemm_of(view), dtype, dtype, threads);
}

// What happens to rows of a finished tile of T on the way to y. Rows are counted over the full batch.
template <class T, class Out>
class Epilogue {
 public:
  explicit Epilogue(const KernelContext& context)
      : n_(context.type(1).shape.extent(context.attributes().flag("transpose_b") ? 0 : 1)),
        addend_(context.in<Out>(2)),
        p_(context.attributes().has("stream") ? context.attributes().number("p") : 0) {
    if (p_ == 0) return;
    const RandomState& random = context.random();
    runs_ = random.runs;
    first_row_ = random.row_offset;
    key_ = random_key(random.seed, static_cast<std::uint32_t>(context.attributes().integer("stream")));
  }
  bool any() const { return p_ > 0 || addend_ != nullptr; }

  // y may be x.
  void run(const GemmTile& tile, Out* y, std::int64_t ldy) const {
    for (std::int64_t r = 0; r < tile.rows; ++r)
      for (std::int64_t c = 0; c < tile.columns; c += block)
        row(static_cast<const T*>(tile.c) + r * tile.ldc + c, tile.row + r, tile.column + c,
            std::min(block, tile.columns - c), y + r * ldy + c);
  }

 private:
  using W = Wide<T>;
  static constexpr std::int64_t block = 512;

  void row(const T* x, std::int64_t row, std::int64_t column, std::int64_t count, Out* y) const {
    [[maybe_unused]] W wide[block], dropped[block], c[block], sum[block];
    [[maybe_unused]] T rounded[block];
    const W* value = widened(x, wide, count);
    if (p_ > 0) {
      keep_scale_fill(c, p_, static_cast<W>(1 / (1 - p_)), count, static_cast<std::uint32_t>(row + first_row_), key_,
                      runs_, static_cast<std::uint32_t>(column));
      simd<W>().multiply(value, c, dropped, count);
      store(dropped, rounded, count);
      value = is_narrow<T> ? widened(rounded, wide, count) : dropped;
    }
    W* to = wide_target(y, sum);
    if (addend_ != nullptr) simd<W>().add(widened(addend_ + row * n_ + column, c, count), value, to, count);
    else std::copy_n(value, count, to);
    store(to, y, count);
  }

  std::int64_t n_;
  const Out* addend_;
  double p_;
  RandomKey key_{};
  std::uint64_t runs_ = 0;
  std::int64_t first_row_ = 0;
};

// A narrow product becomes wide in its tile, which y has no place for.
template <class T>
void widening_kernel(KernelContext& context) {
  const Gemm g = gemm_of(context.view());
  const Epilogue<T, float> epilogue(context);
  float* y = context.out<float>(0);
  const std::span<std::byte> space{context.workspace(), workspace(context.view(), threads())};
  gemm_tiles(
      g, dtype_of<T>, dtype_of<T>, context.in<T>(0), context.in<T>(1), space,
      [&](const GemmTile& tile) { epilogue.run(tile, y + tile.row * g.n + tile.column, g.n); }, context.in<T>(3));
}

template <class T>
void kernel(KernelContext& context) {
  if constexpr (is_narrow<T>)
    if (context.view().out_type(0).dtype == f32) return widening_kernel<T>(context);
  const Gemm g = gemm_of(context.view());
  const Epilogue<T, T> epilogue(context);
  const auto run = [&](const GemmTile& tile) { epilogue.run(tile, static_cast<T*>(tile.c), tile.ldc); };
  gemm_bias(g, context.in<T>(0), context.in<T>(1), context.in<T>(3), context.out<T>(0), gemm_space(g, context),
            epilogue.any() ? GemmEpilogue(run) : GemmEpilogue());
}

Cost cost(const OpView& view) {
  const Gemm g = gemm_of(view);
  double bytes = static_cast<double>(view.out_type(0).bytes());
  for (int i = 0; i < 3; ++i)
    if (view.has(i)) bytes += static_cast<double>(view.type(i).bytes());
  return {static_cast<double>(g.m) * static_cast<double>(g.n) * (2.0 * static_cast<double>(g.k) + 1), bytes};
}

Values plain(const Plain& p) {
  const DType dtype = p.in[0].dtype(), wide = dtype == f64 ? f64 : f32;
  const auto given = [&](std::size_t i) { return p.in.size() > i && !p.in[i].absent(); };
  const bool turn_a = p.attributes.flag("transpose_a"), one_row = p.in[0].shape().rank() == 1;
  const Value a = one_row ? reshape(p.in[0], {1, p.in[0].shape()[0]}) : p.in[0];
  Value y = matmul(cast(a, wide), cast(p.in[1], wide),
                   {.transpose_a = turn_a, .transpose_b = p.attributes.flag("transpose_b")});
  if (one_row) y = reshape(y, {y.shape()[1]});
  if (given(3)) y = y + cast(p.in[3], wide);
  y = cast(y, dtype);
  if (p.attributes.has("stream"))
    y = build(dropout_op(), {y}, {{"p", p.attributes.number("p")}, {"stream", p.attributes.integer("stream")}});
  y = cast(y, result_dtype(p.attributes, dtype));
  return given(2) ? p.in[2] + y : y;
}

// --- the pass ---

// A product and what follows it, walked from its last value.
struct Chain {
  NodeId product = no_node;
  bool widen = false;
  std::optional<Attributes> dropout;
  std::vector<NodeId> taken_over;
};

std::optional<Chain> chain_of(const Graph& graph, const Readers& readers, const Node& last, ValueRef at) {
  Chain chain;
  const auto is = [&](const OpDef& op) { return graph.node(at.node).op == &op; };
  const auto step_over = [&] {
    if (at.node != last.id) {
      if (!readers.one(at) || graph.node(at.node).phase != last.phase) return false;
      chain.taken_over.push_back(at.node);
    }
    return true;
  };
  if (is(cast_op())) {
    const DType from = graph.type(graph.node(at.node).operands[0]).dtype;
    if (!is_narrow_type(from) || graph.type(at).dtype != f32 || !step_over()) return {};
    chain.widen = true;
    at = graph.node(at.node).operands[0];
  }
  if (is(dropout_op())) {
    if (!step_over()) return {};
    chain.dropout = graph.node(at.node).attributes;
    at = graph.node(at.node).operands[0];
  }
  const Node& made = graph.node(at.node);
  const bool linear = made.op == &linear_op();
  if ((!linear && made.op != &matmul_op()) || at.node == last.id || !step_over()) return {};
  if (graph.type(made.operands[1]).shape.rank() != 2) return {};
  if (made.attributes.flag("transpose_a") && made.types.front().shape.rank() != 2) return {};
  chain.product = at.node;
  return chain;
}

// Where y is no larger than that, a buffer of a tile for each thread is more than the narrow y was.
bool is_cut(const Graph& graph, NodeId product) {
  const Node& node = graph.node(product);
  const bool turn_b = node.op == &linear_op() || node.attributes.flag("transpose_b");
  const Gemm g =
      gemm_of(node.attributes.flag("transpose_a"), turn_b, graph.type(node.operands[1]).shape, node.types.front());
  const GemmCut cut = gemm_cut(g);
  return 4 * cut.rows * cut.columns <= g.m * g.n;
}

std::optional<Change> changed(const Graph& graph, const Node& node, Chain chain, ValueRef addend) {
  const Node& made = graph.node(chain.product);
  Change change{node, std::move(chain.taken_over)};
  change.node.op = &matmul_epilogue_op();
  Attributes attributes;
  if (made.attributes.flag("transpose_a")) attributes.set("transpose_a", true);
  if (made.op == &linear_op() || made.attributes.flag("transpose_b")) attributes.set("transpose_b", true);
  if (chain.widen) attributes.set("widen", true);
  if (chain.dropout)
    attributes.set("p", chain.dropout->number("p")), attributes.set("stream", chain.dropout->integer("stream"));
  change.node.attributes = std::move(attributes);
  change.node.operands = {made.operands[0], made.operands[1], addend};
  if (made.operands.size() > 2) change.node.operands.push_back(made.operands[2]);
  return change;
}

std::optional<Change> with_addend(const Graph& graph, const Readers& readers, const Node& node) {
  for (const std::size_t at : {std::size_t{1}, std::size_t{0}}) {
    const ValueRef addend = node.operands[1 - at];
    std::optional<Chain> chain = chain_of(graph, readers, node, node.operands[at]);
    if (!chain || addend.node > chain->product) continue;
    if (graph.type(addend) != node.types.front() || graph.type(node.operands[at]) != node.types.front()) continue;
    if (chain->widen && (!is_cut(graph, chain->product) || chain_of(graph, readers, node, addend))) continue;
    return changed(graph, node, *std::move(chain), addend);
  }
  return {};
}

std::optional<Change> alone(const Graph& graph, const Readers& readers, const Node& node) {
  const ValueRef y{node.id, 0};
  std::optional<Chain> chain = chain_of(graph, readers, node, y);
  if (!chain) return {};
  if (chain->widen) {
    const bool gathered_or_rows = std::ranges::any_of(graph.users(y), [&](NodeId user) {
      const OpDef& op = *graph.node(user).op;
      return op.traits.gathers || op.traits.pointwise || op.row_wise;
    });
    if (gathered_or_rows || !is_cut(graph, chain->product)) return {};
  }
  return changed(graph, node, *std::move(chain), {no_node, 0});
}

std::optional<Change> with_epilogue(const Graph& graph, const Readers& readers, const Node& node) {
  if (node.op == &add_op()) return with_addend(graph, readers, node);
  if (node.op == &cast_op() || node.op == &dropout_op()) return alone(graph, readers, node);
  return {};
}

}  // namespace

const OpDef& matmul_epilogue_op() {
  using sample::normal, sample::absent;
  const auto turned = [] { return Attributes{{"transpose_b", true}}; };
  const auto dropped = [](Attributes attributes, double p) {
    attributes.set("p", p);
    attributes.set("stream", std::int64_t{3});
    return attributes;
  };
  const auto wide = [](Attributes attributes) {
    attributes.set("widen", true);
    return attributes;
  };
  static const OpDef op{
      .name = "matmul_epilogue",
      .law = "y = addend + dropout(op(a) op(b) + bias)",
      .least_inputs = 2,
      .most_inputs = 4,
      .infer = infer,
      .batch = batch,
      .plain = plain,
      .terms = terms_are({{.factors = {0, 1}}, {.factors = {2}}, {.factors = {3}}}),
      .traits = {.random = true, .cheap = false, .precision = Precision::low},
      .cost = cost,
      .kernels = {{.dtype = f32, .run = kernel<float>, .workspace = workspace},
                  {.dtype = f64, .run = kernel<double>, .workspace = workspace},
                  {.dtype = bf16, .run = kernel<bfloat16>, .workspace = workspace},
                  {.dtype = f16, .run = kernel<float16>, .workspace = workspace}},
      .samples = {{{normal({3, 4}).batched(0), normal({5, 4}), normal({3, 5}).batched(0), normal({5})}, turned()},
                  {{normal({2, 3, 4}).batched(1), normal({4, 2}), normal({2, 3, 2}).batched(1), absent()}},
                  {{normal({4}), normal({4, 3}), normal({3})}},
                  {{normal({4, 3}).batched(0), normal({4, 5}).batched(0)}, {{"transpose_a", true}}},
                  {{normal({3, 4}).batched(0), normal({5, 4}), normal({3, 5}).batched(0), normal({5})},
                   dropped(turned(), 0.4)},
                  {{normal({6, 4}).batched(0), normal({4, 9})}, dropped({}, 0.5)},
                  {{normal({6, 4}).batched(0), normal({9, 4}), normal({6, 9}).batched(0).widened(), normal({9})},
                   wide(dropped(turned(), 0.5))},
                  {{normal({300, 70}).batched(0), normal({300, 600}).batched(0)}, wide({{"transpose_a", true}}), false},
                  {{normal({400, 70}).batched(0), normal({1030, 70}), normal({400, 1030}).batched(0).widened(),
                    normal({1030})},
                   wide(turned()),
                   false},
                  {{normal({12, 64, 130}).batched(0), normal({67, 130}), normal({12, 64, 67}).batched(0), normal({67})},
                   turned(),
                   false},
                  {{normal({700, 33}).batched(0), normal({33, 600}), normal({700, 600}).batched(0), normal({600})},
                   dropped({}, 0.3),
                   false},
                  {{sample::extremes({6, 3}), normal({4, 3}), sample::extremes({6, 4})}, turned(), false}},
      .bad_samples = {{{{f32, {3, 4}}, {f32, {5, 4}}, {f32, {3, 5}}}, {}, "inner extents must agree"},
                      {{{f32, {3, 4}}, {f32, {4}}, {f32, {3, 5}}}, {}, "b must have rank 2"},
                      {{{f32, {2, 3, 4}}, {f32, {3, 4}}}, {{"transpose_a", true}}, "a transposed must have rank 2"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {f32, {5}}}, {}, "the addend must be [3, 5]"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {f32, {3, 5}}, {f32, {4}}}, {}, "the bias must be [5]"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}}, dropped({}, 1), "must be in [0, 1)"},
                      {{{f32, {3, 4}}, {bf16, {4, 5}}}, {}, "operand 1 must be f32"},
                      {{{bf16, {3, 4}}, {bf16, {4, 5}}, {bf16, {3, 5}}}, wide({}), "operand 2 must be f32"},
                      {{{f32, {3, 4}}, {f32, {4, 5}}, {bf16, {3, 5}}}, {}, "operand 2 must be f32"}},
  };
  return op;
}

const Pass& fuse_matmul_epilogue() {
  static const Pass pass{
      .name = "fuse_matmul_epilogue",
      .run = [](const Step& step) { return change_nodes(step, "fuse_matmul_epilogue", with_epilogue); },
      .late = true};
  return pass;
}

void register_matmul_epilogue() { registry().add(matmul_epilogue_op()); }

}  // namespace weft
