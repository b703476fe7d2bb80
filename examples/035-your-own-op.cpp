// Ops of your own, in one file: squared ReLU in raw loops, a distance in xtensor expressions. Both are registered like
// the library's, tested by what their definitions say, differentiated, and run together with others.
#include <weft/ops/kit/xtensor_kernel.h>
#include <weft/testing/check_op.h>
#include <weft/weft.h>

#include <fmt/format.h>

#include <iostream>

using namespace weft;

namespace {

// --- A pointwise op in raw loops -------------------------------------------------------------------------------------
//
// y = max(x, 0)^2 (So et al. 2021, arXiv:2109.08668, "Primer", section 4.1)

template <class T>
void squared_relu_kernel(KernelContext& k) {
  const T* x = k.in<T>(0);
  T* y = k.out<T>(0);  // in_place: may be x
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) y[i] = x[i] > 0 ? x[i] * x[i] : x[i] * 0;  // NaN stays NaN
}

const OpDef& squared_relu_op() {
  static const OpDef op{
      .name = "squared_relu",
      .law = "y = max(x, 0)^2",
      .source = "So et al. 2021, arXiv:2109.08668, section 4.1",
      .infer = same_as_float_input,  // shape rule: y is like x
      .batch = same_axis,            // batch rule: y's examples lie where x's do
      .backward = [](Backward& b) { b.input(0, 2 * relu(b.in(0)) * b.cotangent(0)); },  // d_x = 2 max(x, 0) d_y
      .plain = [](const Plain& p) -> Values { return square(maximum(p.in[0], 0.0)); },  // the test's oracle
      .traits = {.pointwise = true, .in_place = {{0, 0}}},                              // takes part in regions
      .kernels = {{.dtype = f32, .run = squared_relu_kernel<float>},
                  {.dtype = f64, .run = squared_relu_kernel<double>}},
      .samples = {{{sample::normal({3, 5}).batched(0)}}, {{sample::normal({2, 3, 4}).batched(1)}}},
      .bad_samples = {{{{i64, {3}}}, {}, "floating"}}};
  return op;
}

Value squared_relu(const Arg& x) { return build(squared_relu_op(), {x}); }

// --- An op over rows in xtensor expressions --------------------------------------------------------------------------
//
// y[.., i] = exp(-gamma sum_c (x[.., i, c] - centre[c])^2), a radial basis function; x [.., C], centre [C] -> [..]

const OpDef& radial_op() {
  static const OpDef op{
      .name = "radial",
      .law = "y = exp(-gamma sum_c (x_c - centre_c)^2)",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        expect_float(view, 0);
        expect_same_dtype(view);
        WEFT_CHECK(view.shape(0).rank() >= 1, "radial needs rows, got {}", view.type(0).str());
        expect_shape(view, 1, {view.shape(0)[-1]}, "the centre");
        Shape rows = view.shape(0);
        rows.erase(rows.rank() - 1);
        return {{view.type(0).dtype, rows}};
      },
      .batch = [](const OpView& view, std::span<const BatchState> in) -> std::vector<BatchState> {
        const std::vector<BatchState> rows = rows_independent<1>(view, in);  // a batch along C is gone: examples meet
        return rows.front().axis < view.out_type(0).shape.rank() ? rows : std::vector{BatchState::mixed()};
      },
      // No backward: it is differentiated through its plain definition.
      .plain = [](const Plain& p) -> Values {
        return exp(sum(square(p.in[0] - p.in[1]), {.axes = {-1}}) * -p.attributes.number("gamma"));
      },
      .kernels = xtensor_kernels<float, double>([](auto k) {
        const auto x = k.in(0), centre = k.in(1);
        const auto squared = k.hold(xt::sum(xt::square(x - centre), {k.last(0)}));  // a reduction, evaluated
        k.out(0) = xt::exp(squared * -k.attributes().number("gamma"));
      }),
      .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({5})}, {{"gamma", 0.1}}},
                  {{sample::normal({2, 3, 4}).batched(0), sample::normal({4})}, {{"gamma", 0.5}}}},
      .bad_samples = {{{{f32, {3, 5}}, {f32, {4}}}, {{"gamma", 0.1}}, "the centre"}}};
  return op;
}

Value radial(const Arg& x, const Arg& centre, double gamma) {
  return build(radial_op(), {x, centre}, {{"gamma", gamma}});
}

// --- All that the library's ops are tested by ------------------------------------------------------------------------

bool check(const OpDef& op) {
  registry().add(op);
  const OpCheck result = weft::testing::check_op(op.name);
  std::cout << fmt::format("{}: {} checks, {}\n", result.op, result.lines.size(), result.passed() ? "passed" : "FAILED")
            << result.str();
  return result.passed();
}

}  // namespace

int main() {
  register_all();
  if (!check(squared_relu_op()) || !check(radial_op())) return 1;

  // In a model, with a gradient.
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 64), 8}),
              y = graph.input("y", f32, {graph.dim("batch", 64)});
  const nn::Linear up(graph, "up", {.in = 8, .out = 32}), down(graph, "down", {.in = 32, .out = 4});
  const Value centre = graph.parameter("centre", {f32, {4}}, init::normal(0, 1));
  const Value residual = radial(down(squared_relu(up(x)) * 0.5 + 0.1), centre, 0.25) - y;
  const Step step = training_step(mean(square(residual))) | optimize(adamw({.rate = 0.01}));

  // A chain of pointwise nodes becomes one region, this op among its members; its backward rule's nodes as well.
  int members = 0;
  const Step runs = plan(step).step;
  for (const NodeId id : runs.graph.ids()) {
    const Node& node = runs.graph.node(id);
    const std::string title = title_of(*node.op, node.attributes);
    if (node.op->name != "row_region" || title.find("squared_relu") == std::string::npos) continue;
    std::cout << "one node: " << title << "\n";
    ++members;
  }

  Store store(step, {.seed = 1});
  Program train(step, store);
  Tensor rows(f32, {64, 8}), wanted(f32, {64});
  double first = 0, last = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    normal_fill(rows.data<float>(), rows.size(), 0, random_key(1, 1), i);
    for (std::int64_t r = 0; r < 64; ++r) wanted.data<float>()[r] = rows.data<float>()[8 * r] > 0 ? 0.9F : 0.1F;
    last = train.run({{"x", rows}, {"y", wanted}}).scalar("loss");
    if (i == 0) first = last;
  }
  std::cout << fmt::format("loss {:.4f}, after 200 steps {:.4f}\n", first, last);
  return members > 0 && last < 0.25 * first ? 0 : 1;
}
