// Each matcher on what is right and on what is wrong, and what it says of the wrong.
#include <weft/testing/matchers.h>

#include <support/catch.h>
#include <testing/half_square.h>
#include <testing/net.h>

#include <weft/weft.h>

#include <limits>

using namespace weft;
using test::Net, test::said;

// --- GradientsMatch ---

TEST_CASE("gradients of a step, a loss and a value match finite differences, in any type",
          "[core][testing][matchers]") {
  const Net net;
  const Step step = training_step(net.loss());
  CHECK_THAT(step, GradientsMatch());
  CHECK_THAT(net.loss(), GradientsMatch());
  CHECK_THAT(net.y, GradientsMatch());
  CHECK_THAT(Net(f64).y, GradientsMatch());
  CHECK_THAT(step | mixed_precision(bf16), GradientsMatch());
  CHECK_THAT(step | accumulate(2), GradientsMatch());
  CHECK_THAT(step | scale_loss(static_scale(512)) | optimize(adamw({.rate = 1e-2})), GradientsMatch());
  CHECK_THAT(training_step(weighted_mean(dropout(net.y, 0.5))), GradientsMatch());
}

TEST_CASE("a wrong backward is found, with the parameter, the op and the user's line", "[core][testing][matchers]") {
  const Net net;
  const Value squares = half_square(net.hidden);
  const std::string text = said(GradientsMatch(), training_step(weighted_mean(squares)));
  CHECK_THAT(text, ContainsSubstring("1 of 2 gradients do not match finite differences") &&
                       ContainsSubstring("w : f64[3, 5] (net.h:") && ContainsSubstring("element [0, 0]: gradient") &&
                       ContainsSubstring("by differences") &&
                       ContainsSubstring("[half_square] at half_square (matchers_test.cpp:") &&
                       !ContainsSubstring("[tanh] at"));
  CHECK_THAT(said(GradientsMatch(), squares), ContainsSubstring("x : f64[batch=4, 3] (net.h:"));
}

TEST_CASE("a transform that spoils a gradient is found, and the ops are cleared", "[core][testing][matchers]") {
  const Net net;
  const Transform spoils{.name = "spoils", .needs = {"gradients"}, .apply = [](Step step) {
                           for (Gradient& gradient : step.gradients) gradient.value = gradient.value * 1.01;
                           return step;
                         }};
  const std::string text = said(GradientsMatch(), training_step(net.loss()) | spoils);
  CHECK_THAT(text, ContainsSubstring("2 of 2 gradients") && ContainsSubstring("each op alone has the right gradient"));
  CHECK_THAT(training_step(net.loss()) | spoils, !GradientsMatch({.parameters = "v"}));
}

TEST_CASE("GradientsMatch says what it cannot check", "[core][testing][matchers][errors]") {
  const Net net;
  CHECK_THROWS_WITH(GradientsMatch().match(fetching({net.y})),
                    ContainsSubstring("the step has no gradients; hint: training_step(loss)"));
  CHECK_THROWS_WITH(GradientsMatch({.parameters = "no/*"}).match(training_step(net.loss())),
                    ContainsSubstring("no trained parameter matches 'no/*'; hint: the nearest of 2 are w, v"));
  CHECK_THROWS_WITH(GradientsMatch().match(Value{}), ContainsSubstring("there is no value"));
  Graph graph;
  const Value tokens = graph.input("tokens", i32, {4});
  const Value table = graph.parameter("table", {f32, {7, 2}}, init::normal(0, 1));
  const Value rows = embedding(table, tokens);
  CHECK_THROWS_WITH(GradientsMatch().match(tokens), ContainsSubstring("tokens : i32[4] (matchers_test.cpp:"));
  CHECK_THROWS_WITH(GradientsMatch().match(rows), ContainsSubstring("'tokens'") && ContainsSubstring("has no bound"));
  CHECK_THAT(rows, GradientsMatch({.integers = {{"tokens", 7}}}));
  CHECK_THAT(rows, GradientsMatch({.feeds = {{"tokens", Tensor::of<std::int32_t>({4}, {0, 6, 6, 2})}}}));
  CHECK_THROWS_WITH(GradientsMatch({.feeds = {{"token", Tensor(i32, {4})}}}).match(rows),
                    ContainsSubstring("the feed 'token' is no input; hint: the nearest name is 'tokens'; the inputs "
                                      "are:\n  tokens : i32[4] (matchers_test.cpp:"));
}

TEST_CASE("GradientsMatch says which value has nothing to differentiate", "[core][testing][matchers][errors]") {
  Graph graph;
  const Value ids = graph.input("ids", i32, {graph.dim("batch", 4)});
  CHECK_THROWS_WITH(
      GradientsMatch().match(ids + 1),
      ContainsSubstring("GradientsMatch differentiates floating values, add : i32[batch=4] (matchers_test.cpp:"));
  CHECK_THROWS_WITH(GradientsMatch({.parameters = "w*"}).match(cast(ids, f32)),
                    ContainsSubstring("GradientsMatch: cast : f32[batch=4] (matchers_test.cpp:") &&
                        ContainsSubstring("depends on no parameter of 'w*' and no floating input"));
}

// --- GradientsFlow ---

TEST_CASE("gradients flow to every parameter of a model", "[core][testing][matchers]") {
  const Net net;
  const Step step = training_step(net.loss());
  CHECK_THAT(step, GradientsFlow());
  CHECK_THAT(step | mixed_precision(bf16) | clip_global_norm(1.0) | optimize(adamw({.rate = 1e-2})),
             GradientsFlow(1e-8));
  CHECK_THAT(step, !GradientsFlow(1e6));
}

TEST_CASE("GradientsFlow passes a GPT, whose keys' biases softmax takes out again", "[core][testing]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 4), time = graph.dim("time", 8);
  const Value tokens = graph.input("tokens", i32, {batch, time}), targets = graph.input("targets", i32, {batch, time});
  const nn::Gpt model(graph, {.vocab = 17, .layers = 2, .heads = 2, .width = 16, .context = 8});
  const Value logits = model(tokens);
  const Loss loss = cross_entropy(logits, targets);
  const Step step = training_step(loss) | optimize(adamw({.rate = 1e-3}));
  const std::vector<std::pair<std::string, Step>> forms{
      {"plain", step},
      {"checkpointed", step | checkpoint(every_block())},
      {"reported", step | tap_gradients()},
      {"both", step | tap_gradients() | checkpoint(every_block())},
      {"micro-batches", training_step(loss) | accumulate(2) | optimize(adamw({.rate = 1e-3}))},
      {"over runs", training_step(loss) | accumulate_over_runs(2) | optimize(adamw({.rate = 1e-3}))},
      {"two weights", training_step(loss + 0.1 * weighted_mean(square(logits))) | accumulate(2)},
      {"f16",
       training_step(loss) | mixed_precision(f16) | scale_loss(dynamic_scale()) | accumulate(2) | tap_gradients()},
  };
  for (const auto& [name, form] : forms) {
    const testing::Outcome verdict =
        testing::gradients_flow(form, 1e-6, {.seed = 2, .integers = {{"tokens", 17}, {"targets", 17}}});
    INFO(name << ": " << verdict.text);
    CHECK(verdict.passed);
    CHECK_THAT(verdict.text,
               ContainsSubstring("decoder/0/attention/key/bias: norm ") &&
                   ContainsSubstring("the cotangents that it sums cancel, the loss does not depend on it"));
  }
}

TEST_CASE("a parameter behind a cut is named with the place of the cut", "[core][testing][matchers]") {
  const Net net;
  const Value cut = stop_gradient(net.hidden);
  const Value v = net.graph.find_name("v");
  const std::string text = said(GradientsFlow(), training_step(weighted_mean(square(matmul(cut, v)))));
  CHECK_THAT(text, ContainsSubstring("1 of 2 trained parameters have no gradient above 1e-08:") &&
                       ContainsSubstring("w : f32[3, 5] (net.h:") && ContainsSubstring("stop_gradient") &&
                       ContainsSubstring("v: norm"));
}

TEST_CASE("where a gradient dies the node is named with what it reads", "[core][testing][matchers]") {
  const Net net;
  const Value dead = relu(net.hidden - 10.0);
  const Value v = net.graph.find_name("v");
  const std::string text = said(GradientsFlow(), training_step(weighted_mean(matmul(dead, v) + 1.0)));
  CHECK_THAT(text, ContainsSubstring("w : f32[3, 5] (net.h:"));
  CHECK_THAT(text, ContainsSubstring("lost in relu [relu] (matchers_test.cpp:") && ContainsSubstring("0 before") &&
                       ContainsSubstring("in [-1"));
}

// --- AllFinite ---

TEST_CASE("AllFinite names the first element that is not", "[core][testing][matchers]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(Tensor::of<float>({2}, {1, 2}), AllFinite());
  CHECK_THAT(said(AllFinite(), Tensor::of<float>({2, 2}, {1, 2, nan, nan})),
             ContainsSubstring("element [1, 0] is NaN; all of it: f32[2, 2] in [1, 2], 2 NaN"));
}

TEST_CASE("AllFinite of a step names the first node that is not finite, with the ranges of what it reads",
          "[core][testing][matchers]") {
  const Net net;
  CHECK_THAT(training_step(net.loss()) | optimize(adamw({.rate = 1e-2})), AllFinite());
  const Value overflows = exp(net.y * 1e4);
  const Value nan = overflows - overflows;
  const std::string text = said(AllFinite(), training_step(weighted_mean(nan)));
  CHECK_THAT(text, ContainsSubstring("the published loss") &&
                       ContainsSubstring("NaN begins in subtract [subtract] (matchers_test.cpp:") &&
                       ContainsSubstring("infinity begins in exp [exp] (matchers_test.cpp:") &&
                       ContainsSubstring("reads multiply_1 (matchers_test.cpp:") && ContainsSubstring("infinite"));
}

TEST_CASE("an infinity that is meant, a mask before a softmax, is no failure, nor where one begins",
          "[core][testing][matchers]") {
  const Net net;
  const Value mask = where(greater(net.x, 100.0), 0.0, net.x);
  const Value hides = where(less(mask, 0.0), -std::numeric_limits<double>::infinity(), mask + 1.0);
  const Value weights = softmax(concatenate({hides, zeros_like(hides)}, -1));
  CHECK_THAT(fetching({weights}), AllFinite());
  const std::string text = said(AllFinite(), fetching({log(weights * 0.0 - 1.0)}));
  CHECK_THAT(text, ContainsSubstring("NaN begins in log [log]") && !ContainsSubstring("where ["));
}

// --- SameBits ---

TEST_CASE("SameBits tells how far apart the first differing element is", "[core][testing][matchers]") {
  const Tensor one = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  Tensor other = one.clone();
  CHECK_THAT(other, SameBits(one));
  other.data<float>()[2] = std::nextafter(std::nextafter(3.0F, 4.0F), 4.0F);
  CHECK_THAT(said(SameBits(one), other),
             ContainsSubstring(
                 "1 of 4 elements differ; the first, element [1, 0]: got 3.0000004768371582 (0x40400002), expected 3 "
                 "(0x40400000), 2 ulps apart"));
  CHECK_THAT(Tensor::of<double>({1}, {-0.0}), !SameBits(Tensor::of<double>({1}, {0.0})));
  const double least = std::numeric_limits<double>::denorm_min();
  CHECK_THAT(said(SameBits(Tensor::of<double>({}, {-least})), Tensor::of<double>({}, {2 * least})),
             ContainsSubstring("the first, the scalar: got") && ContainsSubstring(", 3 ulps apart"));
  CHECK_THAT(said(SameBits(one), Tensor(f32, {4})), ContainsSubstring("it is f32[4], expected f32[2, 2]"));
  CHECK_THAT(
      said(SameBits(Tensor::of<std::int32_t>({2}, {1, 2})), Tensor::of<std::int32_t>({2}, {1, 3})),
      ContainsSubstring("element [1]: got 3 (0x00000003), expected 2 (0x00000002)") && !ContainsSubstring("ulps"));
  const std::vector<Tensor> list{one, one};
  CHECK_THAT((std::vector<Tensor>{one, one.clone()}), SameBits(list));
  CHECK_THAT(said(SameBits(list), std::vector<Tensor>{one, other}),
             ContainsSubstring("tensor 1: 1 of 4 elements differ"));
  CHECK_THAT(said(SameBits(list), std::vector<Tensor>{one}), ContainsSubstring("there are 1 tensors, expected 2"));
}

TEST_CASE("steps have the same bits, or the first node that differs is named", "[core][testing][matchers]") {
  const Net net, again;
  const Step step = training_step(net.loss()) | optimize(adamw({.rate = 1e-2}));
  CHECK_THAT(training_step(again.loss()) | optimize(adamw({.rate = 1e-2})), SameBits(step));
  CHECK_THAT(step, SameBits(step));
  Net other;
  const Value scaled = matmul(tanh(other.x * 1.0000001), other.graph.find_name("w")) * 1.0;
  const Step different = training_step(weighted_mean(square(other.y + sum(scaled) * 1e-3)));
  const std::string text = said(SameBits(training_step(net.loss())), different);
  CHECK_THAT(text, ContainsSubstring("run 0:") && ContainsSubstring("published 'loss'") &&
                       ContainsSubstring("the first node that differs: "));
  CHECK_THROWS_WITH(SameBits(fetching({net.y})).match(fetching({net.hidden})),
                    ContainsSubstring("publish nothing in common"));
}

// --- CloseTo ---

TEST_CASE("CloseTo has the tolerances of torch.testing.assert_close", "[core][testing][matchers]") {
  const Tensor one = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  Tensor other = one.clone();
  other.data<float>()[3] = 4.00001F;  // within 1.3e-6 * 4 + 1e-5
  CHECK_THAT(other, CloseTo(one));
  other.data<float>()[3] = 4.0001F;
  CHECK_THAT(
      said(CloseTo(one), other),
      ContainsSubstring("mismatched elements: 1 / 4 (25.0%)") &&
          ContainsSubstring("greatest absolute difference: 0.000100136 at element [1, 1] (up to 1e-05 allowed)") &&
          ContainsSubstring("(up to 1.3e-06 allowed): got 4.00010014, expected 4"));
  CHECK_THAT(other, CloseTo(one, 1e-4));
  CHECK_THAT(other, CloseTo(one, 0, 1e-3));
  CHECK_THAT(Tensor::of<double>({1}, {1 + 1e-6}), !CloseTo(Tensor::of<double>({1}, {1})));
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  CHECK_THAT(Tensor::of<float>({1}, {nan}), !CloseTo(Tensor::of<float>({1}, {nan})));
  CHECK_THAT(Tensor::of<float>({1}, {inf}), CloseTo(Tensor::of<float>({1}, {inf})));
  CHECK_THAT(Tensor::of<float>({1}, {1}), !CloseTo(Tensor::of<float>({1}, {inf}), 1));
  CHECK_THAT(Tensor(f64, {1}), !CloseTo(Tensor(f32, {1})));
  CHECK_THROWS_WITH(CloseTo(one, -1).match(one), ContainsSubstring("tolerances are at least 0, got rtol -1"));
}

// --- ShapeIs ---

TEST_CASE("ShapeIs names the node, its line and what it was made from", "[core][testing][matchers]") {
  const Net net;
  CHECK_THAT(net.y, ShapeIs({4, 2}));
  CHECK_THAT(net.y, ShapeIs({-1, 2}));
  CHECK_THAT(Tensor(f32, {4, 2}), ShapeIs({4, -1}));
  CHECK_THAT(said(ShapeIs({4, 3}), net.y), ContainsSubstring("matmul") &&
                                               ContainsSubstring("f32[batch=4, 2] (net.h:") &&
                                               ContainsSubstring("axis 1 is 2, expected 3 as in [4, 3]") &&
                                               ContainsSubstring("made from v : f32[5, 2]"));
  CHECK_THAT(said(ShapeIs({4}), net.y), ContainsSubstring("it has 2 axes, expected 1 as in [4]"));
  CHECK_THAT(said(ShapeIs({4, -1, 2}), Tensor(f32, {4, 2})),
             ContainsSubstring("f32[4, 2]: it has 2 axes, expected 3 as in [4, any, 2]"));
  const Value failed = matmul(net.x, net.x);
  CHECK_THAT(said(ShapeIs({4, 3}), failed),
             ContainsSubstring("it failed to build") && ContainsSubstring("(matchers_test.cpp:"));
  CHECK_THAT(said(ShapeIs({4, 3}), Value{}), ContainsSubstring("an absent value"));
}

// --- what Catch2 does with them ---

TEST_CASE("a value, a step and a tensor print themselves in a failed assertion", "[core][testing][matchers]") {
  const Net net;
  const auto text = [](const auto& thing) { return Catch::StringMaker<std::decay_t<decltype(thing)>>::convert(thing); };
  CHECK_THAT(text(net.x), StartsWith("x : f32[batch=4, 3] (net.h:"));
  CHECK(text(Value{}) == "an absent value");
  CHECK(text(training_step(net.loss()) | clip_global_norm(1.0)) == "training_step | clip_global_norm");
  CHECK(text(Tensor(f32, {2})) == "f32[2]");
  CHECK_THAT(text(net.loss()), StartsWith("loss of sum_2 : f32[] (net.h:"));
  CHECK_THAT(net.y, ShapeIs({4, 2}));
  CHECK_THAT(training_step(net.loss()), GradientsFlow() && EquivalentTo(training_step(net.loss())));
}

TEST_CASE("checks that cannot be made say why", "[core][testing][matchers][errors]") {
  const Net net;
  const Step step = training_step(net.loss()), nothing = fetching({net.y});
  CHECK_THROWS_WITH(GradientsFlow().match(nothing),
                    ContainsSubstring("GradientsFlow: the step has no gradients; hint: training_step(loss)"));
  CHECK_THROWS_WITH(GradientsFlow(-1).match(step), ContainsSubstring("the threshold must be at least 0, got -1"));
  CHECK_THROWS_WITH(AllFinite().match(fetching({greater(net.y, 0.0)})),
                    ContainsSubstring("the step gives nothing of a floating type"));
  CHECK_THROWS_WITH(SameBits(step, {.runs = 0}).match(step), ContainsSubstring("SameBits needs at least 1 run, got 0"));
  CHECK_THROWS_WITH(GradientsMatch().match(step | accumulate_over_runs(2) | optimize(sgd({.rate = 0.1}))),
                    ContainsSubstring("hint: match the step before accumulate_over_runs"));
  CHECK_THROWS_WITH(
      AllFinite({.feeds = {{"z", Tensor(f32, {1})}}}).match(step),
      ContainsSubstring(
          "the feed 'z' is no input; hint: the nearest name is 'x'; the inputs are:\n  x : f32[batch=4, 3] (net.h:"));
}

TEST_CASE("matchers run on what they are given, and leave it as it is", "[core][testing][matchers]") {
  const Net net;
  const Step step = training_step(net.loss()) | optimize(adamw({.rate = 1e-2}));
  Store store(step, {.seed = 4});
  store.tensor("w").data<float>()[3] = std::numeric_limits<float>::infinity();
  const Store before = store.clone();
  CHECK_THAT(step, AllFinite());
  CHECK_THAT(said(AllFinite({.store = &store}),
                  training_step(weighted_mean(net.hidden * 0.0 + matmul(net.x, net.graph.find_name("w"))))),
             ContainsSubstring("infinity begins in w [parameter] (net.h:") && ContainsSubstring("1 infinite"));
  Tensor zeros(f32, {4, 3});
  CHECK_THAT(step, !GradientsFlow(1e-8, {.feeds = {{"x", zeros}}}));
  CHECK_THAT(step, GradientsFlow());
  store.set("w", Tensor(f32, {3, 5}));
  CHECK_THAT(said(GradientsFlow(1e-8, {.store = &store}), step), ContainsSubstring("v : f32[5, 2] (net.h:"));
  CHECK_THAT(step, GradientsMatch({.store = &store}));
  CHECK(store.runs() == before.runs());
}
