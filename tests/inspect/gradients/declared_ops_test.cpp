// Ops of a user's own, of names that the library does not know: zero starts, units and sums are read from what an op
// declares, so they are judged as the library's are.
#include <optim/gradient_chain.h>

#include <support/catch.h>

#include <weft/inspect/gradients/zero_start.h>
#include <weft/ops/kit/terms.h>
#include <weft/runtime/kernel.h>

#include <algorithm>
#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

std::vector<BatchState> rows_of_first(const OpView&, std::span<const BatchState> in) {
  for (std::size_t i = 1; i < in.size(); ++i)
    if (in[i].kind != BatchState::Kind::free) return {BatchState::mixed()};
  return {in[0]};
}

// --- a bilinear op: y[n, o] = sum_i x[n, i] w[i, o] ---

template <class T>
void blend_kernel(KernelContext& k) {
  const std::int64_t in = k.type(1).shape.extent(0), out = k.type(1).shape.extent(1);
  for (std::int64_t n = 0; n < k.type(0).shape.extent(0); ++n)
    for (std::int64_t o = 0; o < out; ++o) {
      T sum = 0;
      for (std::int64_t i = 0; i < in; ++i) sum += k.in<T>(0)[n * in + i] * k.in<T>(1)[i * out + o];
      k.out<T>(0)[n * out + o] = sum;
    }
}
const OpDef& blend_op() {
  static const OpDef op{
      .name = "own_blend",
      .law = "y = x w",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        return {{view.type(0).dtype, {view.shape(0)[0], view.shape(1)[1]}}};
      },
      .batch = rows_of_first,
      .plain = [](const Plain& p) -> Values { return matmul(p.in[0], p.in[1]); },
      .terms = linear_in({0, 1}),
      .units = [](const OpView&) -> std::vector<UnitAxis> { return {{1, 1}}; },
      .kernels = {{.dtype = f32, .run = blend_kernel<float>}, {.dtype = f64, .run = blend_kernel<double>}},
      .samples = {{{sample::normal({3, 4}).batched(0), sample::normal({4, 5})}}}};
  return op;
}
Value blend(const Value& x, const Value& w) { return build(blend_op(), {x, w}); }

// --- a norm: y = x / (1 + mean_j |x_j|) gain ---

template <class T>
void tame_kernel(KernelContext& k) {
  const std::int64_t width = k.type(0).shape.extent(-1);
  for (std::int64_t n = 0; n < k.type(0).count() / width; ++n) {
    const T* x = k.in<T>(0) + n * width;
    T sum = 0;
    for (std::int64_t i = 0; i < width; ++i) sum += std::abs(x[i]);
    for (std::int64_t i = 0; i < width; ++i)
      k.out<T>(0)[n * width + i] = x[i] / (1 + sum / static_cast<T>(width)) * k.in<T>(1)[i];
  }
}
const OpDef& tame_op() {
  static const OpDef op{
      .name = "own_tame",
      .law = "y = x / (1 + mean |x|) gain",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; },
      .batch = rows_of_first,
      .plain = [](const Plain& p) -> Values {
        return p.in[0] / (1.0 + mean(abs(p.in[0]), {.axes = {-1}, .keep = true})) * p.in[1];
      },
      .terms = linear_in({1}, {{0}}),
      .units = units_of_gains({1}),
      .kernels = {{.dtype = f32, .run = tame_kernel<float>}, {.dtype = f64, .run = tame_kernel<double>}},
      .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({5})}}}};
  return op;
}
Value tame(const Value& x, const Value& gain) { return build(tame_op(), {x, gain}); }

// --- a layer of units: y[n, u] = max(sum_i x[n, i] w[u, i] + b[u], 0) ---

template <class T>
void neurons_kernel(KernelContext& k) {
  const std::int64_t in = k.type(1).shape.extent(1), out = k.type(1).shape.extent(0);
  for (std::int64_t n = 0; n < k.type(0).shape.extent(0); ++n)
    for (std::int64_t u = 0; u < out; ++u) {
      T sum = k.in<T>(2)[u];
      for (std::int64_t i = 0; i < in; ++i) sum += k.in<T>(0)[n * in + i] * k.in<T>(1)[u * in + i];
      k.out<T>(0)[n * out + u] = sum > 0 ? sum : sum * 0;
    }
}
const OpDef& neurons_op() {
  static const OpDef op{
      .name = "own_neurons",
      .law = "y = max(x w^T + b, 0)",
      .least_inputs = 3,
      .most_inputs = 3,
      .infer = [](const OpView& view) -> std::vector<TensorType> {
        return {{view.type(0).dtype, {view.shape(0)[0], view.shape(1)[0]}}};
      },
      .batch = rows_of_first,
      .plain = [](const Plain& p) -> Values { return relu(linear(p.in[0], p.in[1], p.in[2])); },
      .terms = linear_in({}, {{0, 1}, {2}}),
      .units = units_in_rows({1, 2}),
      .kernels = {{.dtype = f32, .run = neurons_kernel<float>}, {.dtype = f64, .run = neurons_kernel<double>}},
      .samples = {{{sample::normal({3, 4}).batched(0), sample::normal({5, 4}), sample::normal({5})}}}};
  return op;
}
Value neurons(const Value& x, const Value& w, const Value& b) { return build(neurons_op(), {x, w, b}); }

// --- a bias whose gradient is a sum of its own: y[n, c] = x[n, c] + b[c], d_b[c] = sum_n d_y[n, c] ---

template <class T>
void columns_kernel(KernelContext& k) {
  const std::int64_t width = k.type(0).shape.extent(1);
  std::fill_n(k.out<T>(0), width, T{});
  for (std::int64_t e = 0; e < k.type(0).count(); ++e) k.out<T>(0)[e % width] += k.in<T>(0)[e];
}
const OpDef& columns_op() {
  static const OpDef op{
      .name = "own_columns",
      .law = "y = sum over rows of x",
      .infer = [](const OpView& view) -> std::vector<TensorType> { return {{view.type(0).dtype, {view.shape(0)[1]}}}; },
      .batch = [](const OpView&, std::span<const BatchState> in) -> std::vector<BatchState> {
        if (in[0].kind == BatchState::Kind::split && in[0].axis == 0) return {BatchState::summed()};
        return {in[0].kind == BatchState::Kind::free ? in[0] : BatchState::mixed()};
      },
      .plain = [](const Plain& p) -> Values { return sum(p.in[0], {.axes = {0}}); },
      .terms = adds_up(),
      .kernels = {{.dtype = f32, .run = columns_kernel<float>}, {.dtype = f64, .run = columns_kernel<double>}},
      .samples = {{{sample::normal({3, 5}).batched(0)}}}};
  return op;
}
template <class T>
void shift_kernel(KernelContext& k) {
  const std::int64_t width = k.type(1).count();
  for (std::int64_t e = 0; e < k.type(0).count(); ++e) k.out<T>(0)[e] = k.in<T>(0)[e] + k.in<T>(1)[e % width];
}
const OpDef& shift_op() {
  static const OpDef op{
      .name = "own_shift",
      .law = "y = x + b",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; },
      .batch = rows_of_first,
      .backward =
          [](Backward& b) {
            b.input(0, b.cotangent(0));
            if (b.wants(1)) b.input(1, build(columns_op(), {b.cotangent(0)}));
          },
      .plain = [](const Plain& p) -> Values { return p.in[0] + p.in[1]; },
      .terms = terms_are({{.factors = {0}, .adds = 0}, {.factors = {1}}}),
      .units = units_in_rows({1}),
      .kernels = {{.dtype = f32, .run = shift_kernel<float>}, {.dtype = f64, .run = shift_kernel<double>}},
      .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({5})}}}};
  return op;
}
Value shift(const Value& x, const Value& b) { return build(shift_op(), {x, b}); }

// The pieces that a model below is made of: the library's, or one's own.
struct Pieces {
  std::string name;
  Value (*product)(const Value& x, const Value& w);
  Value (*norm)(const Value& x, const Value& gain);
  Value (*units)(const Value& x, const Value& w, const Value& b);
  Value (*plus)(const Value& x, const Value& b);
};
const Pieces pieces[] = {
    {"the library's", [](const Value& x, const Value& w) { return matmul(x, w); },
     [](const Value& x, const Value& gain) { return rms_norm(x, gain); },
     [](const Value& x, const Value& w, const Value& b) { return relu(linear(x, w, b)); },
     [](const Value& x, const Value& b) { return x + b; }},
    {"one's own", blend, tame, neurons, shift},
};

GradientReport reported(const Loss& loss, const Tensor& feed,
                        const std::vector<std::pair<std::string, Tensor>>& set = {}) {
  const Step step = training_step(loss) | optimize(sgd({.rate = 0.01})) | tap_gradients();
  Store store(step, {.seed = 1});
  for (const auto& [name, tensor] : set) store.set(name, tensor);
  Program program(step, store);
  return gradient_report(program.run({{"x", feed}}), step);
}

std::vector<std::string> names(const std::vector<Value>& values) {
  std::vector<std::string> found;
  for (const Value& value : values) found.push_back(value.name());
  return found;
}

}  // namespace

TEST_CASE("what the ops of this test declare holds", "[core][optim][declared_ops]") {
  for (const OpDef* op : {&blend_op(), &tame_op(), &neurons_op(), &columns_op(), &shift_op()}) {
    const OpCheck check = check_op(*op);
    INFO(check.str());
    CHECK(check.passed());
    CHECK(std::ranges::any_of(check.lines, [](const OpCheck::Line& line) { return line.check == "terms"; }));
  }
}

TEST_CASE("the gradient behind a factor of one's own that starts at 0 waits for it", "[core][optim][declared_ops]") {
  for (const Pieces& with : pieces) {
    INFO(with.name);
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 8), 6});
    const auto normal = [&](const char* name, Shape shape) {
      return graph.parameter(name, {f32, std::move(shape)}, init::normal(0, 0.4));
    };
    const Value base = normal("base", {6, 6}), down = normal("down", {6, 2}), inner = normal("inner", {6, 6});
    const Value up = graph.parameter("up", {f32, {2, 6}}, init::zeros());
    const Value gain = graph.parameter("gain", {f32, {6}}, init::zeros());
    const Value y =
        with.product(x, base) + with.product(with.product(x, down), up) + with.norm(tanh(with.product(x, inner)), gain);
    const Loss loss(mean(square(y - 1.0)));
    const Step step = training_step(loss) | optimize(sgd({.rate = 0.01}));
    CHECK(names(behind_zeros(step, down)) == std::vector<std::string>{"up"});
    CHECK(names(behind_zeros(step, inner)) == std::vector<std::string>{"gain"});
    CHECK(behind_zeros(step, base).empty());
    CHECK(behind_zeros(step, up).empty());
    CHECK(audit(step).healthy());

    const GradientReport report = reported(loss, Chain::feed());
    INFO(report);
    CHECK(report.parameter("down").norm == 0);
    CHECK(report.parameter("down").waits_for == "up");
    CHECK(report.parameter("inner").waits_for == "gain");
    CHECK(report.of(Verdict::Kind::no_flow).empty());
  }
}

TEST_CASE("units of one's own that are dead are told by their own axis", "[core][optim][declared_ops]") {
  for (const Pieces& with : pieces) {
    INFO(with.name);
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 8), 6});
    const auto weight = [&](const char* name) { return graph.parameter(name, {f32, {6, 6}}, init::normal(0, 0.4)); };
    const Value w = weight("w"), b = graph.parameter("b", {f32, {6}}, init::zeros());
    const Value columns = weight("columns"), gain = graph.parameter("gain", {f32, {6}}, init::ones());
    const Value cold = graph.parameter("cold", {f32, {6}}, init::zeros());
    // Four of six units are cold: of the layer, and behind the product and the norm.
    const Value y = with.units(x, w, b) + relu(with.product(x, columns) + cold) + relu(with.norm(x, gain) + cold);
    const Tensor below = Tensor::of<float>({6}, {-50, -50, -50, -50, 0, 0});
    const GradientReport report = reported(Loss(mean(square(y))), Chain::feed(), {{"b", below}, {"cold", below}});
    INFO(report);
    for (const char* path : {"w", "b", "columns", "gain"}) {
      INFO(path);
      CHECK(report.parameter(path).dead_rows == Approx(4.0 / 6));
      CHECK(std::ranges::any_of(report.of(Verdict::Kind::dead_units),
                                [&](const Verdict& verdict) { return verdict.path == path; }));
    }
  }
}

TEST_CASE("a sum of one's own that cancels is no fault", "[core][optim][declared_ops]") {
  for (const Pieces& with : pieces) {
    INFO(with.name);
    Graph graph;
    const Value x = graph.input("x", f32, {graph.dim("batch", 8), 6});
    const Value w = graph.parameter("w", {f32, {6, 6}}, init::normal(0, 0.4));
    const Value lost = graph.parameter("lost", {f32, {6}}, init::zeros());
    const Value kept = graph.parameter("kept", {f32, {6}}, init::zeros());
    const Value h = with.plus(with.product(x, w), lost);
    const Value centred = h - mean(h, {.axes = {0}, .keep = true});  // what each row gets alike is gone
    const GradientReport report = reported(Loss(mean(square(with.plus(square(centred), kept)))), Chain::feed());
    INFO(report);
    CHECK(report.parameter("lost").cancels);
    CHECK_FALSE(report.parameter("kept").cancels);
    CHECK(report.parameter("kept").arrives > 0);
    CHECK(report.of(Verdict::Kind::no_flow).empty());
  }
}
