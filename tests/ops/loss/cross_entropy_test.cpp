#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/program.h>

#include <cmath>

using namespace weft;

TEST_CASE("a target that is no class is an error of the run that names it and its place", "[core][ops][errors]") {
  Graph graph;
  const Value logits = graph.input("logits", f32, {2, 2, 3});
  const Value targets = graph.input("targets", i64, {2, 2});
  const Value losses = token_losses(logits, targets);
  const Tensor x(f32, {2, 2, 3}), wrong = Tensor::of<std::int64_t>({2, 2}, {0, 1, 2, 3});
  CHECK_THROWS_WITH(evaluate(losses, {{"logits", x}, {"targets", wrong}}),
                    ContainsSubstring("target 3 at [1, 1] is no class: expected 0 to 2"));
}

TEST_CASE("ignored targets count for nothing, also when all are", "[core][ops]") {
  Graph graph;
  const Value logits = graph.input("logits", f64, {3, 4});
  const Value targets = graph.input("targets", i64, {3});
  const CrossEntropy terms = cross_entropy_terms(logits, targets, {.label_smoothing = 0.1});
  const Value d = gradient(terms.sum, {logits}).front();
  const Tensor x(f64, {3, 4});
  const Tensor some = Tensor::of<std::int64_t>({3}, {1, -100, 3}),
               none = Tensor::of<std::int64_t>({3}, {-100, -100, -100});
  CHECK(evaluate(terms.sum, {{"logits", x}, {"targets", some}}).item() == Approx(2 * std::log(4.0)).epsilon(1e-15));
  CHECK(evaluate(terms.weight, {{"logits", x}, {"targets", some}}).item() == 2);
  CHECK(evaluate(terms.losses, {{"logits", x}, {"targets", some}}).at(1) == 0);
  const Tensor zeros(f64, {3, 4});
  CHECK(evaluate(terms.sum, {{"logits", x}, {"targets", none}}).item() == 0);
  CHECK(evaluate(terms.weight, {{"logits", x}, {"targets", none}}).item() == 0);
  CHECK(same_bits(evaluate(d, {{"logits", x}, {"targets", none}}), zeros));
}

TEST_CASE("a class that is ruled out by -inf has no say unless it is the target", "[core][ops]") {
  Graph graph;
  const Value logits = graph.input("logits", f32, {1, 3});
  const Value targets = graph.input("targets", i64, {1});
  const Value loss = cross_entropy_terms(logits, targets).sum;
  const Value d = gradient(loss, {logits}).front();
  const Tensor x = Tensor::of<float>({1, 3}, {0, -INFINITY, 0}), t = Tensor::of<std::int64_t>({1}, {2});
  CHECK(evaluate(loss, {{"logits", x}, {"targets", t}}).item() == Approx(std::log(2.0)).epsilon(1e-6));
  const Tensor got = evaluate(d, {{"logits", x}, {"targets", t}});
  CHECK(got.at(0) == Approx(0.5).epsilon(1e-6));
  CHECK(got.at(1) == 0);
  CHECK(got.at(2) == Approx(-0.5).epsilon(1e-6));
}

TEST_CASE("another class axis gives the same losses as classes last", "[core][ops]") {
  Graph graph;
  const Value last = graph.input("last", f64, {2, 2, 3});
  const Value middle = graph.input("middle", f64, {2, 3, 2});
  const Value targets = graph.input("targets", i64, {2, 2});
  const Tensor a = Tensor::of<double>({2, 2, 3}, {1, 2, 3, 4, 5, 7, 7, 6, 5, 1, 0, 9});
  const Tensor b = Tensor::of<double>({2, 3, 2}, {1, 4, 2, 5, 3, 7, 7, 1, 6, 0, 5, 9});
  const Tensor t = Tensor::of<std::int64_t>({2, 2}, {0, 1, 2, 0});
  CHECK(same_bits(evaluate(token_losses(last, targets), {{"last", a}, {"targets", t}}),
                  evaluate(token_losses(middle, targets, {.class_axis = 1}), {{"middle", b}, {"targets", t}})));
}

TEST_CASE("probabilities that are one-hot give the loss of the classes", "[core][ops]") {
  Graph graph;
  const Value logits = graph.input("logits", f64, {2, 3});
  const Value q = graph.input("q", f64, {2, 3});
  const Value targets = graph.input("targets", i64, {2});
  const Loss soft = soft_cross_entropy(logits, q, {.label_smoothing = 0.2});
  const Loss hard = cross_entropy(logits, targets, {.label_smoothing = 0.2});
  const Tensor x = Tensor::of<double>({2, 3}, {0.3, -1, 2, 0, 0.1, 0.7}), t = Tensor::of<std::int64_t>({2}, {2, 0});
  const Tensor p = Tensor::of<double>({2, 3}, {0, 0, 1, 1, 0, 0});
  CHECK(evaluate(soft.terms[0].sum, {{"logits", x}, {"q", p}}).item() ==
        Approx(evaluate(hard.terms[0].sum, {{"logits", x}, {"targets", t}}).item()).epsilon(1e-14));
  CHECK(evaluate(soft.terms[0].weight, {{"logits", x}, {"q", p}}).item() == 2);
}
