#include <optim/two_layers.h>
#include <support/catch.h>

using namespace weft;
using test::TwoLayers;

TEST_CASE("mixed precision that makes no sense is refused", "[core][optim][precision][errors]") {
  TwoLayers model;
  const Step step = training_step(model.loss);
  for (const DType wrong : {f32, f64, i32, boolean})
    CHECK_THROWS_WITH(mixed_precision(wrong), ContainsSubstring("bf16 or f16, got " + std::string(name_of(wrong))));
  CHECK_THROWS_WITH(step | mixed_precision(bf16) | mixed_precision(f16),
                    ContainsSubstring("exclude each other") && ContainsSubstring("leave one of the two out"));
  CHECK_THROWS_WITH(step | clip_global_norm(1.0) | mixed_precision(bf16),
                    ContainsSubstring("mixed_precision(bf16) must come before clip_global_norm") &&
                        ContainsSubstring("training_step | mixed_precision(bf16) | clip_global_norm"));
  CHECK_THROWS_WITH(step | optimize(adamw({})) | mixed_precision(f16),
                    ContainsSubstring("must come before optimize(adamw)"));
  CHECK_THROWS_WITH(step | mixed_precision(bf16, {.overrides = {{"decoder/**", f32}}}),
                    ContainsSubstring("the override 'decoder/**' matches no node; hint: the first of ") &&
                        ContainsSubstring(" are first/linear, between/relu, second/linear"));
  CHECK_THROWS_WITH(step | mixed_precision(bf16, {.overrides = {{"first/**", f16}}}),
                    ContainsSubstring("'first/**' can run in f32 or bf16, got f16"));
}

TEST_CASE("what reads gradients before mixed precision is refused by name", "[core][optim][precision][errors]") {
  TwoLayers model;
  const Step step = training_step(model.loss);
  Step fetched = step;
  fetched.set_fetch("d", step.gradients.front().value);
  CHECK_THROWS_WITH(fetched | mixed_precision(bf16), ContainsSubstring("the fetch 'd' reads") &&
                                                         ContainsSubstring("two_layers.h:") &&
                                                         ContainsSubstring("training_step(loss) | mixed_precision"));
  const Transform doubled{.name = "doubled", .apply = [](Step s) {
                            for (Gradient& gradient : s.gradients) gradient.value = gradient.value * 2.0;
                            return s;
                          }};
  CHECK_THROWS_WITH(step | doubled | mixed_precision(bf16), ContainsSubstring("was built upon the old ones"));
  const Transform frozen{.name = "frozen", .apply = [](Step s) {
                           s.gradients.front().value = zeros_like(s.gradients.front().parameter);
                           return s;
                         }};
  CHECK_THROWS_WITH(step | frozen | mixed_precision(bf16),
                    ContainsSubstring("the gradient of 'first/weight' was replaced"));
}

TEST_CASE("a product of f64 is refused with its line, or kept by an override", "[core][optim][precision][errors]") {
  Graph graph;
  const Value x = graph.input("x", f64, {graph.dim("batch", 4), 3});
  const Value w = graph.parameter("w", {f64, {3, 2}}, init::normal(0, 1));
  const Step step = training_step(Loss(sum(matmul(x, w))));
  CHECK_THROWS_WITH(step | mixed_precision(bf16), ContainsSubstring("'matmul' (mixed_precision_errors_test.cpp:") &&
                                                      ContainsSubstring("computes in f64") &&
                                                      ContainsSubstring(".overrides = {{\"matmul\", f32}}"));
  const Step kept = step | mixed_precision(bf16, {.overrides = {{"matmul", f32}}});
  CHECK(kept.gradient_of(w)->value.dtype() == f64);
}
