// A user's transform, and the proof that it keeps the meaning, with Catch2's matcher.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER  // version 2 has its library in its header
#endif
#include <weft/testing/equivalent_to.h>
#include <weft/weft.h>

#include <cstdio>

using namespace weft;

namespace {

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

}  // namespace

int main() {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 8), 3});
  const Value w = graph.parameter("w", {f32, {3, 2}}, init::normal(0, 1));
  const Value y = dropout(tanh(matmul(x, w)), 0.5);
  const Step step = training_step(weighted_mean(y * y)) | optimize(adamw({.rate = 0.01}));
  const EquivalentTo matches(training_step(weighted_mean(y * y)));
  const bool passed = matches.match(training_step(weighted_mean(y * y)) | in_halves()) && matches.match(step);
  std::printf("%s\n", matches.describe().c_str());
  return passed ? 0 : 1;
}
