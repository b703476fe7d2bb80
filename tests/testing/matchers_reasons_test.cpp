// What the matchers say about what is no fault of the model's gradients: what they were given, kinks, cuts, NaN.
#include <weft/testing/matchers.h>

#include <support/catch.h>
#include <testing/net.h>

#include <weft/weft.h>

#include <algorithm>
#include <limits>
#include <string>

using namespace weft;
using test::Net, test::said;

TEST_CASE("what stands in the way of differences is named, and no backward is blamed", "[core][testing][matchers]") {
  const Net net;
  SECTION("a path that is cut on purpose") {
    const Value v = net.graph.find_name("v");
    const std::string text =
        said(GradientsMatch(),
             training_step(weighted_mean(square(matmul(net.hidden - stop_gradient(net.hidden * 0.5), v)))));
    CHECK_THAT(text, ContainsSubstring("each op alone has the right gradient") &&
                         ContainsSubstring("cut on purpose, the gradient does not:\n  [stop_gradient] at stop_gradient "
                                           "(matchers_reasons_test.cpp:"));
    CHECK_THAT(text, !ContainsSubstring("[matmul] at"));
  }
  SECTION("a kink") {
    Graph graph;
    const Value x = graph.input("x", f32, {4, 3}), w = graph.parameter("w", {f32, {3}}, init::zeros());
    const std::string text = said(GradientsMatch(), training_step(Loss(sum(relu(x * w)))));
    CHECK_THAT(text, ContainsSubstring("the point is on a kink: the slope is"));
    CHECK_THAT(text, ContainsSubstring("no op's backward is wrong, but differences cannot tell of these:\n  [relu] at "
                                       "relu (matchers_reasons_test.cpp:"));
  }
  SECTION("NaN") {
    const std::string text = said(GradientsMatch(), training_step(weighted_mean(log(net.y - 100.0))));
    CHECK_THAT(text, ContainsSubstring("the value to differentiate is NaN: there are no differences of it\nNaN begins "
                                       "in log [log] (matchers_reasons_test.cpp:"));
    CHECK_THAT(text, !ContainsSubstring("backward"));
    Graph graph;
    const Value w = graph.parameter("w", {f32, {3}}, init::zeros()), x = graph.input("x", f32, {3});
    const std::string root = said(GradientsMatch(), training_step(Loss(sum(sqrt(w * w) * x))));
    CHECK_THAT(root, ContainsSubstring("is not finite") && ContainsSubstring(" begins in ") &&
                         ContainsSubstring("made by gradient"));
    CHECK_THAT(root, !ContainsSubstring("the backward of these ops"));
  }
  SECTION("a value whose rounding hides them") {
    const std::string text = said(GradientsMatch(), training_step(weighted_mean(net.y + exp(net.y * 0.0 + 60.0))));
    CHECK_THAT(text,
               ContainsSubstring("so that differences are only good to") && ContainsSubstring("hint: a larger h"));
  }
}

TEST_CASE("settings of differences that say nothing are refused", "[core][testing][matchers][errors]") {
  const Net net;
  const Step step = training_step(net.loss());
  CHECK_THROWS_WITH(GradientsMatch({.h = 0}).match(step),
                    ContainsSubstring("finite differences need a step h > 0, got 0"));
  CHECK_THROWS_WITH(GradientsMatch({.atol = -1}).match(step),
                    ContainsSubstring("tolerances are at least 0, got rtol 0.001 and atol -1"));
  CHECK_THROWS_WITH(GradientsMatch({.directions = 0}).match(step),
                    ContainsSubstring("the slope test needs at least 1 direction, got 0"));
  CHECK_THROWS_WITH(GradientsMatch({.most_elements = 0}).match(step),
                    ContainsSubstring("most_elements must be at least 1, got 0"));
}

TEST_CASE("a store of another model, and feeds that do not fit, are refused before anything runs",
          "[core][testing][matchers][errors]") {
  const Net net;
  const Step step = training_step(net.loss());
  Graph other;
  const Store stranger(training_step(Loss(sum(square(other.parameter("other", {f32, {2}}, init::ones()))))));
  CHECK_THROWS_WITH(
      GradientsFlow(1e-8, {.store = &stranger}).match(step),
      ContainsSubstring("the given store has no cell for 2 of 2 parameters of the step:\n  w : f32[3, 5] (net.h:") &&
          ContainsSubstring("that one has 1 cells, the first is 'other'"));
  const Tensor x(f32, {4, 3});
  CHECK_THROWS_WITH(AllFinite({.feeds = {{"x", x}, {"x", x}}}).match(step),
                    ContainsSubstring("the feed 'x' is given twice, for x : f32[batch=4, 3] (net.h:"));
  // In the types of the user's step, not of the f64 one that is run.
  CHECK_THROWS_WITH(GradientsMatch({.feeds = {{"x", Tensor(f32, {4, 2})}}}).match(step),
                    ContainsSubstring("the feed 'x' is f32[4, 2], expected x : f32[batch=4, 3] (net.h:"));
  CHECK_THROWS_WITH(AllFinite({.feeds = {{"x", Tensor(i32, {4, 3})}}}).match(step),
                    ContainsSubstring("the feed 'x' is i32[4, 3]") &&
                        ContainsSubstring("hint: floats are converted, whole numbers and truth values are not"));
  CHECK_THROWS_WITH(AllFinite({.feeds = {{"x", x}}}).match(training_step(Loss(sum(square(other.find_name("other")))))),
                    ContainsSubstring("the feed 'x' is no input: the graph has none"));
}

TEST_CASE("a factor that starts at 0 is named where nothing flows behind it", "[core][testing][matchers]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4, 6});
  const Value a = graph.parameter("a", {f32, {2, 6}}, init::normal(0, 1)),
              b = graph.parameter("b", {f32, {6, 2}}, init::zeros());
  const Step step = training_step(Loss(sum(square(x + linear(linear(x, a), b))))) | optimize(sgd({.rate = 0.01}));
  CHECK_THAT(said(GradientsFlow(), step),
             ContainsSubstring("a : f32[2, 6] (matchers_reasons_test.cpp:") &&
                 ContainsSubstring("norm 0; b : f32[6, 2] (matchers_reasons_test.cpp:") &&
                 ContainsSubstring(
                     "starts at 0 and is a factor of all that it does; hint: after a step of training it flows"));
  Store store(step);
  Program program(step, store);
  Tensor ones(f32, {4, 6});
  std::fill_n(ones.data<float>(), 24, 1.0F);
  program.run({{"x", ones}});
  CHECK_THAT(step, GradientsFlow(1e-8, {.store = &store}));
}

TEST_CASE("AllFinite passes over the infinities of a mask to what is wrong", "[core][testing][matchers]") {
  const Net net;
  const Value scores = where(greater(net.hidden, 0.0), net.hidden, -std::numeric_limits<double>::infinity());
  const std::string text = said(AllFinite(), training_step(weighted_mean(log(softmax(scores) - 2.0))));
  CHECK_THAT(text, ContainsSubstring("log [log] (matchers_reasons_test.cpp:"));
  CHECK_THAT(text, !ContainsSubstring("[full]"));
  const Value none = where(greater(net.hidden, 100.0), net.hidden, -std::numeric_limits<double>::infinity());
  const std::string masked = said(AllFinite(), training_step(weighted_mean(softmax(none))));
  CHECK_THAT(masked, ContainsSubstring("NaN begins in softmax_1 [softmax] (matchers_reasons_test.cpp:") &&
                         !ContainsSubstring("[full]"));
  // Alone it is what is wrong.
  CHECK_THAT(said(AllFinite(), training_step(weighted_mean(net.y * 0.0 + std::numeric_limits<double>::infinity()))),
             ContainsSubstring("begins in "));
}

TEST_CASE("numbers that are not finite are said to be so", "[core][testing][matchers]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor plain = Tensor::of<float>({3}, {1, 2, 3}), bad = Tensor::of<float>({3}, {1, -nan, 3}),
               both = Tensor::of<float>({3}, {1, nan, 4});
  CHECK_THAT(testing::close_to(bad, plain).text,
             ContainsSubstring("not finite on one side or both: 1, the first at element [1]: got NaN, expected 2"));
  CHECK_THAT(testing::close_to(bad, plain).text, !ContainsSubstring("inf") && !ContainsSubstring("-nan"));
  CHECK_THAT(testing::close_to(both, plain).text,
             ContainsSubstring("mismatched elements: 2 / 3") &&
                 ContainsSubstring("greatest absolute difference: 1 at element [2]"));
  const std::string bits = testing::bits_agree(bad, plain).text;
  CHECK_THAT(bits, ContainsSubstring("got NaN (0x") &&
                       ContainsSubstring("1 of them are not finite on one side or both") &&
                       !ContainsSubstring("at most"));
  CHECK_THAT(testing::bits_agree(Tensor::of<float>({1}, {0.0F}), Tensor::of<float>({1}, {-0.0F})).text,
             ContainsSubstring("zeros of either sign"));
}
