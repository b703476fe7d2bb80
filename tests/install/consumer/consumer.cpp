// What a user does with the installed package: an op of one's own, with the tests that its definition creates, trained
// as part of a model.
#include <weft/weft.h>

#include <cmath>
#include <cstdio>

using namespace weft;

namespace {

template <class T>
void own_square_kernel(KernelContext& k) {
  const T* x = k.in<T>(0);
  T* y = k.out<T>(0);
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) y[i] = x[i] * x[i];
}

const OpDef& own_square_op() {
  static const OpDef op{
      .name = "consumer_square",
      .law = "y = x^2",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, 2 * b.in(0) * b.cotangent(0)); },  // d_x = 2 x d_y
      .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[0]; },
      .traits = {.pointwise = true},
      .kernels = {{.dtype = f32, .run = own_square_kernel<float>}, {.dtype = f64, .run = own_square_kernel<double>}},
      .samples = {{{sample::normal({3, 5}).batched(0)}}, {{sample::normal({2, 9}).batched(1)}}}};
  return op;
}

Value own_square(const Arg& x) { return build(own_square_op(), {x}); }

}  // namespace

int main() {
  register_all();
  registry().add(own_square_op());
  const OpCheck check = check_op(own_square_op());
  if (!check.passed()) {
    std::printf("the op's own tests failed:\n%s\n", check.str().c_str());
    return 1;
  }

  // Which w and b give square(x w) + b = (2 a - c)^2 + 1 on random rows x = (a, c)?
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 32), 2});
  const Value y = graph.input("y", f32, {graph.dim("batch", 32), 1});
  const Value w = graph.parameter("w", {f32, {2, 1}}, init::uniform(0.1, 1));
  const Value b = graph.parameter("b", {f32, {1}}, init::zeros());
  const Loss loss(mean(own_square(own_square(matmul(x, w)) + b - y)));
  const Step step = training_step(loss) | clip_global_norm(1.0) | optimize(adamw({.rate = 0.02}));

  Store store(graph, {.seed = 1});
  Program train(step, store);
  Tensor inputs(f32, {32, 2}), wanted(f32, {32, 1});
  double first = 0, last = 0;
  for (int i = 0; i < 500; ++i) {
    for (int row = 0; row < 32; ++row) {
      const double a = std::sin(1.0 + i * 32 + row), c = std::cos(3.0 * (i * 32 + row));
      inputs.data<float>()[2 * row] = static_cast<float>(a);
      inputs.data<float>()[2 * row + 1] = static_cast<float>(c);
      wanted.data<float>()[row] = static_cast<float>(std::pow(2 * a - c, 2) + 1);
    }
    last = train.run({{"x", inputs}, {"y", wanted}}).scalar("loss");
    if (i == 0) first = last;
  }
  std::printf("loss %g, then %g; w = (%g, %g), b = %g\n", first, last, store.tensor("w").at(0), store.tensor("w").at(1),
              store.tensor("b").at(0));
  return last < 1e-3 * first ? 0 : 1;
}
