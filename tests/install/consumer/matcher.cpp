// A user's tests with the installed matchers, each on what is right and on what is wrong: a transform that keeps the
// meaning, an op of one's own, gradients, shapes, numbers.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER  // version 2 has its library in its header
#endif
#include <weft/ops/kit/pointwise_kernels.h>
#include <weft/ops/kit/xtensor_kernel.h>
#include <weft/testing/dump_divergence.h>
#include <weft/testing/matchers.h>
#include <weft/weft.h>

#include <cstdio>

using namespace weft;

namespace {

int failures = 0;

// What `matcher` says of `value`, which it should match, or should not.
template <class T, class M>
void expect(bool matches, const T& value, const M& matcher) {
  if (matcher.match(value) == matches) return;
  ++failures;
  std::printf("%s: %s\n", matches ? "should match" : "should not match", matcher.describe().c_str());
}

// Each gradient in two halves: the same bits, since halving is exact.
Transform in_halves() {
  return {.name = "in_halves", .claim = Claim::same_bits, .needs = {"gradients"}, .apply = [](Step step) {
            for (Gradient& gradient : step.gradients) {
              const auto origin = step.graph.made_by("in_halves", gradient.value.ref().node);
              gradient.value = gradient.value * 0.5 + gradient.value * 0.5;
            }
            return step;
          }};
}

const OpDef& cube_op() {
  static const OpDef op{.name = "consumer_cube",
                        .law = "y = x^3",
                        .infer = same_as_float_input,
                        .batch = same_axis,
                        .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[0] * p.in[0]; },
                        .traits = {.pointwise = true},
                        .kernels = pointwise_kernels<float, double>([](auto x) { return x * x * x; }),
                        .samples = {{{sample::normal({3, 5}).batched(0)}}}};
  return op;
}

const OpDef& centred_op() {
  static const OpDef op{
      .name = "consumer_centred",
      .law = "y = x - mean_j x_j",
      .infer = same_as_float_input,
      .batch = rows_independent<1>,
      .plain = [](const Plain& p) -> Values { return p.in[0] - mean(p.in[0], {.axes = {-1}, .keep = true}); },
      .kernels = xtensor_kernels<float, double>([](auto k) {
        const auto x = k.in(0);
        k.out(0) = x - k.hold(xt::mean(x, {k.last(0)}, xt::keep_dims));
      }),
      .samples = {{{sample::normal({3, 5}).batched(0)}}}};
  return op;
}

}  // namespace

int main() {
  register_all();
  registry().add(cube_op());
  registry().add(centred_op());
  expect(true, "consumer_cube", PassesOpChecks());
  expect(true, "consumer_centred", PassesOpChecks());
  if (!weft::testing::check_op("consumer_cube").passed()) ++failures;

  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 8), 3});
  const Value w = graph.parameter("w", {f32, {3, 2}}, init::normal(0, 1));
  const Value y = dropout(build(centred_op(), {build(cube_op(), {tanh(matmul(x, w))})}), 0.5);
  const Step step = training_step(weighted_mean(y * y));
  expect(true, y, ShapeIs({8, 2}));
  expect(false, y, ShapeIs({8, 3}));
  expect(true, step, GradientsMatch());
  expect(true, step, GradientsFlow(1e-8));
  expect(false, step, GradientsFlow(1e8));
  expect(true, step | in_halves(), EquivalentTo(step));
  expect(true, step | in_halves(), SameBits(step));
  expect(true, step | optimize(adamw({.rate = 0.01})), EquivalentTo(step));
  expect(true, step, AllFinite());
  expect(false, training_step(weighted_mean(log(y - 100.0))), AllFinite());

  const Tensor one = Tensor::of<float>({2}, {1, 2}), other = Tensor::of<float>({2}, {1, 2.5F});
  expect(true, one, SameBits(one.clone()));
  expect(false, one, SameBits(other));
  expect(true, one, CloseTo(other, 0.3));
  expect(false, one, CloseTo(other));

  const NamedTensors tensors = random_feeds(graph, 0);
  if (first_divergence_of_threads(step, feeds_of(tensors))) ++failures;
  const Step fetched = fetching({x});
  const Safetensors dump{.tensors = {{"x", tensors.front().second}}, .metadata = {}};
  if (!compare_with_dump(fetched, feeds_of(tensors), dump).passed()) ++failures;
  std::printf("%d matchers said what they should not\n", failures);
  return failures == 0 ? 0 : 1;
}
