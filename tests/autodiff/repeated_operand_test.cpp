// One value as two operands of an op.
#include <support/catch.h>

#include <weft/weft.h>

#include <cmath>

using namespace weft;

namespace {

// y = a b, differentiated through its plain definition.
const OpDef& pair_op() {
  static const OpDef op{.name = "pair",
                        .law = "y = a b",
                        .least_inputs = 2,
                        .most_inputs = 2,
                        .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; },
                        .batch = same_axis,
                        .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[1]; },
                        .traits = {.pointwise = true},
                        .kernels = {{.dtype = f64, .run = [](KernelContext& k) {
                                       for (std::int64_t i = 0; i < k.out_type(0).count(); ++i)
                                         k.out<double>(0)[i] = k.in<double>(0)[i] * k.in<double>(1)[i];
                                     }}}};
  return op;
}

// The second derivative of sum(f(x)) by finite differences of its gradient.
template <class F>
void check_second(const F& f, const Shape& shape) {
  Graph graph;
  const Value x = graph.parameter("x", {f64, shape}, init::normal(0, 1));
  const Value first = gradient(sum(square(f(x))), {x}).front();
  const GradientCheck check = check_gradients(first, {x});
  INFO(check.str());
  CHECK(check.passed());
}

}  // namespace

TEST_CASE("an op that is differentiated through its plain definition counts a repeated operand once",
          "[core][autodiff]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2});
  const Tensor at = Tensor::of<double>({2}, {3, -1});
  const Value d = gradient(sum(build(pair_op(), {x, x})), {x}).front();
  CHECK(doubles(evaluate(d, {{"x", at}})) == std::vector<double>{6, -2});
  CHECK(doubles(evaluate(gradient(sum(d), {x}).front(), {{"x", at}})) == std::vector<double>{2, 2});
}

TEST_CASE("second derivatives of ops whose operands are one value", "[core][autodiff]") {
  check_second([](const Value& x) { return gated(x, x, "sigmoid"); }, {5});
  check_second([](const Value& x) { return attention(x, x, x); }, {1, 3, 2, 2});
  check_second([](const Value& x) { return attention(x, x, x, {.causal = true}); }, {1, 3, 1, 2});
  check_second([](const Value& x) { return feed_forward(x, x, x); }, {3, 3});
  check_second([](const Value& x) { return linear(x, x); }, {3, 3});
  check_second([](const Value& x) { return layer_norm(x, x, x); }, {4});
  check_second([](const Value& x) { return rms_norm(x, x); }, {4});
}

TEST_CASE("a norm whose gain is its operand runs in a training step", "[core][autodiff]") {
  for (const bool rms : {false, true}) {
    Graph graph;
    const Value p = graph.parameter("p", {f32, {4}}, init::normal(0, 1));
    const Value y = rms ? rms_norm(p, p) : layer_norm(p, p);
    const Step step = training_step(sum(square(y))) | optimize(adamw({}));
    Store store(step);
    Program program(step, store);
    CHECK(std::isfinite(program.run({}).scalar("loss")));
  }
}
