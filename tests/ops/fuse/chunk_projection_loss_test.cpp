// The projection and its cross entropy as one node, in whole steps. The ops themselves: their samples.
#include <support/catch.h>

#include <weft/ops/fuse/chunk_projection_loss.h>
#include <weft/ops/fuse/linear_cross_entropy.h>
#include <weft/weft.h>

#include <algorithm>

using namespace weft;

namespace {

struct ModelOptions {
  DType dtype = f32;
  bool bias = false, tied = false, product = false, class_weights = false;
  std::int64_t ignore_index = -100;
  double label_smoothing = 0;
};

// tokens [6, 5] -> a layer -> logits [6, 5, 11] -> cross entropy.
struct Model {
  Graph graph;
  Value tokens, targets, logits;
  CrossEntropy terms;
  Loss loss;

  explicit Model(const ModelOptions& options = {}) {
    const Dim batch = graph.dim("batch", 6);
    tokens = graph.input("tokens", i64, {batch, 5});
    targets = graph.input("targets", i64, {batch, 5});
    const auto weight = [&](const char* name, Shape shape) {
      return graph.parameter(name, {options.dtype, std::move(shape)}, init::normal(0, 0.5));
    };
    const Value table = weight("table", {11, 8});
    const Value x = tanh(linear(embedding(table, tokens), weight("layer", {8, 8})));
    const Value head = options.tied ? table : weight("head", {11, 8});
    logits = options.product ? matmul(x, head, {.transpose_b = true})
                             : linear(x, head, options.bias ? weight("bias", {11}) : Value{});
    CrossEntropyOptions of_loss{.ignore_index = options.ignore_index, .label_smoothing = options.label_smoothing};
    if (options.class_weights) of_loss.class_weights = exp(graph.constant(some_numbers(options.dtype)));
    terms = cross_entropy_terms(logits, targets, of_loss);
    loss = LossTerm{1, terms.sum, terms.weight};
  }

  static Constant some_numbers(DType dtype) {
    Tensor numbers(dtype, {11});
    for (std::int64_t i = 0; i < 11; ++i) {
      const double value = 0.1 * static_cast<double>(i % 4);
      if (dtype == f64) numbers.data<double>()[i] = value;
      else numbers.data<float>()[i] = static_cast<float>(value);
    }
    Constant constant{{dtype, {11}}, {}};
    constant.bytes.assign(numbers.raw(), numbers.raw() + numbers.bytes());
    return constant;
  }
};

std::size_t count(const Step& step, const OpDef& op) {
  return static_cast<std::size_t>(
      std::ranges::count_if(step.graph.ids(), [&](NodeId id) { return step.graph.node(id).op == &op; }));
}

// The step with its loss in chunks of 7 rows; fails where it is not fused.
Step chunked(const Step& step) {
  const Step result = chunk_projection_loss(step, 7);
  verify(result);
  CHECK(count(result, linear_cross_entropy_gradients_op()) == 1);
  CHECK(count(result, cross_entropy_op()) == 0);
  CHECK(count(result, cross_entropy_backward_op()) == 0);
  return result;
}

Step trained(const Step& step) {
  return step | clip_global_norm(0.5) | optimize(adamw({.rate = 1e-2, .weight_decay = 0.1}));
}

Equivalence compared(const Step& before, DType rounds_to = f64) {
  return verify_equivalent(
      before, chunked(before),
      {.integers = {{"tokens", 11}, {"targets", 11}}, .claim = Claim::rounding, .rounds_to = rounds_to});
}

const std::vector<ModelOptions> forms{{},
                                      {.tied = true},
                                      {.bias = true, .label_smoothing = 0.1},
                                      {.product = true, .ignore_index = 3},
                                      {.bias = true, .class_weights = true, .ignore_index = 2, .label_smoothing = 0.2},
                                      {.dtype = f64, .bias = true, .class_weights = true}};

}  // namespace

TEST_CASE("a step whose loss is computed in chunks equals the step up to rounding",
          "[core][ops][chunk_projection_loss]") {
  for (std::size_t i = 0; i < forms.size(); ++i) {
    const Equivalence result = compared(trained(training_step(Model(forms[i]).loss)));
    INFO("form " << i << "\n" << result.str());
    CHECK(result.passed());
  }
}

TEST_CASE("chunks go with loss scaling, accumulation, low precision and all of them",
          "[core][ops][chunk_projection_loss]") {
  const auto check = [](const std::string& what, const Step& step, DType rounds_to = f64) {
    const Equivalence result = compared(trained(step), rounds_to);
    INFO(what << "\n" << result.str());
    CHECK(result.passed());
  };
  for (const ModelOptions& form :
       {ModelOptions{.tied = true}, ModelOptions{.bias = true, .ignore_index = 1, .label_smoothing = 0.1}}) {
    const Step step = training_step(Model(form).loss);
    check("scaled", step | scale_loss(dynamic_scale({.start = 1024})));
    check("accumulated", step | accumulate(2));
    check("bf16", step | mixed_precision(bf16), bf16);
    check("f16, scaled, accumulated",
          step | mixed_precision(f16) | scale_loss(dynamic_scale({.start = 256})) | accumulate(3), f16);
  }
}

TEST_CASE("in double, chunks change a step's gradients by less than 1e-12", "[core][ops][chunk_projection_loss]") {
  const Model model(
      {.dtype = f64, .bias = true, .tied = true, .class_weights = true, .ignore_index = 4, .label_smoothing = 0.1});
  const Step step = training_step(model.loss) | fetch_gradients();
  Store store(step, {.seed = 3});
  Tensor tokens(i64, {6, 5}), targets(i64, {6, 5});
  for (std::int64_t i = 0; i < 30; ++i) {
    tokens.data<std::int64_t>()[i] = i * 7 % 11;
    targets.data<std::int64_t>()[i] = i * 5 % 11;
  }
  Program whole(step, store), parts(chunked(step), store);
  const Result expected = whole.run({{"tokens", tokens}, {"targets", targets}});
  const Result got = parts.run({{"tokens", tokens}, {"targets", targets}});
  CHECK(got.scalar("loss") == Approx(expected.scalar("loss")).epsilon(1e-14));
  CHECK(got.scalar("tokens") == expected.scalar("tokens"));
  std::size_t gradients = 0;
  for (const Fetch& fetch : step.fetches) {
    const Tensor a = got.tensor(fetch.name), b = expected.tensor(fetch.name);
    if (a.dtype() != f64) continue;
    for (std::int64_t i = 0; i < a.size(); ++i) CHECK(a.at(i) == Approx(b.at(i)).epsilon(1e-12).margin(1e-14));
    gradients += a.size() > 1 ? 1 : 0;
  }
  CHECK(gradients == 3);
}

TEST_CASE("only the gradients that are wanted are made by a chunked loss", "[core][ops][chunk_projection_loss]") {
  const Step step = training_step(Model({.bias = true}).loss);
  const auto wanted = [](const Step& of) {
    const Step made = chunked(of | optimize(sgd({.rate = 1e-2})));
    for (const NodeId id : made.graph.ids())
      if (const Node& node = made.graph.node(id); node.op == &linear_cross_entropy_gradients_op())
        return std::vector{node.attributes.flag("d_x"), node.attributes.flag("d_weight"),
                           node.attributes.flag("d_bias")};
    return std::vector<bool>{};
  };
  CHECK(wanted(step) == std::vector{true, true, true});
  CHECK(wanted(step | freeze("head")) == std::vector{true, false, true});
  CHECK(wanted(step | freeze({"table", "layer"})) == std::vector{false, true, true});
  for (const Step& frozen : {step | freeze("head"), step | freeze({"table", "layer"})}) {
    const Equivalence result = compared(trained(frozen));
    INFO(result.str());
    CHECK(result.passed());
  }
}

TEST_CASE("a loss of each token, masked, is chunked with a seed for each token", "[core][ops][chunk_projection_loss]") {
  const Model model;
  Graph graph = model.graph;
  const Value mask = graph.input("mask", f32, {graph.dim("batch", 6), 5});
  const Step step = training_step(LossTerm{1, sum(model.terms.losses * mask), sum(mask)});
  const Equivalence result = compared(trained(step));
  INFO(result.str());
  CHECK(result.passed());
}

TEST_CASE("what reads the logits, or seeds that follow the loss, keep the logits",
          "[core][ops][chunk_projection_loss]") {
  const Model model({.bias = true});
  const auto untouched = [](const Step& step) {
    const Step result = chunk_projection_loss(step, 7);
    return count(result, linear_cross_entropy_gradients_op()) + count(result, linear_cross_entropy_op()) == 0;
  };
  CHECK(untouched(evaluation(model.loss, {model.logits})));
  CHECK(untouched(evaluation(model.loss, {argmax(model.logits, -1)})));
  CHECK(untouched(training_step(model.loss) | fetch("logits", model.logits)));
  CHECK(untouched(training_step(Loss(model.terms.sum * model.terms.sum))));
  CHECK(untouched(training_step(model.loss + 1e-4 * Loss(sum(square(model.terms.logsumexp))))));
}

TEST_CASE("an evaluation without logits is chunked, and its weight keeps its bits",
          "[core][ops][chunk_projection_loss]") {
  const Model model({.bias = true, .class_weights = true, .ignore_index = 4, .label_smoothing = 0.1});
  const Step step = evaluation(model.loss, {}), made = chunk_projection_loss(step, 7);
  CHECK(count(made, linear_cross_entropy_op()) == 1);
  CHECK(count(made, cross_entropy_op()) == 0);
  Store store(step, {.seed = 3});
  Tensor tokens(i64, {6, 5}), targets(i64, {6, 5});
  for (std::int64_t i = 0; i < 30; ++i) targets.data<std::int64_t>()[i] = i % 11;
  Program whole(step, store), parts(made, store);
  const Result expected = whole.run({{"tokens", tokens}, {"targets", targets}});
  const Result got = parts.run({{"tokens", tokens}, {"targets", targets}});
  CHECK(got.scalar("sum") == Approx(expected.scalar("sum")).epsilon(1e-6));
  CHECK(got.scalar("weight") == expected.scalar("weight"));
  targets.data<std::int64_t>()[17] = 11;
  CHECK_THROWS_WITH(parts.run({{"tokens", tokens}, {"targets", targets}}),
                    ContainsSubstring("target 11 at [3, 2] is no class: expected 0 to 10"));
}

TEST_CASE("a chunked loss is one node to checkpointing, and is not run twice", "[core][ops][chunk_projection_loss]") {
  const nn::GptConfig config{.vocab = 50257, .layers = 2, .heads = 1, .width = 4, .context = 64};
  Graph graph;
  const Dim batch = graph.dim("batch", 4);
  const Value tokens = graph.input("tokens", i32, {batch, 64}), targets = graph.input("targets", i32, {batch, 64});
  const nn::Gpt model(graph, config);
  const Step step = training_step(cross_entropy(model(tokens), targets)) | optimize(sgd({.rate = 1e-2}));
  const Step lowered = lower(step), again = lower(step | checkpoint(every_block()));
  CHECK(count(lowered, linear_cross_entropy_gradients_op()) == 1);
  CHECK(count(again, linear_cross_entropy_gradients_op()) == 1);
  CHECK(again.graph.size() > lowered.graph.size());
}

TEST_CASE("a chunked loss needs the bytes of one chunk instead of all logits", "[core][ops][chunk_projection_loss]") {
  Graph graph;
  const std::int64_t rows = 512, classes = 50257;
  const Dim batch = graph.dim("batch", rows);
  const Value x = graph.input("x", f32, {batch, 4}), targets = graph.input("targets", i64, {batch});
  const Value weight = graph.parameter("weight", {f32, {classes, 4}}, init::normal(0, 1));
  const Step step = training_step(cross_entropy(linear(x, weight), targets)) | optimize(sgd({.rate = 1e-2}));
  const std::int64_t chunk = projection_chunk(rows, classes, f32);
  CHECK(chunk == 128);
  const auto arena = [&](const PassOptions& lowering) {
    return plan(step, {.threads = 2, .lowering = lowering}).arena_bytes;
  };
  const std::size_t saved = static_cast<std::size_t>((rows - chunk) * classes) * sizeof(float);
  CHECK(arena({}) + saved <= arena({.disabled = {"chunk_projection_loss"}}) + 65536);
}

TEST_CASE("logits of one chunk stay whole", "[core][ops][chunk_projection_loss]") {
  const Step step = training_step(Model().loss);
  CHECK(count(lower(step), linear_cross_entropy_gradients_op()) == 0);
  CHECK(count(lower(step), cross_entropy_op()) == 1);
  CHECK(projection_chunk(4096, 65, f32) == 4096);
  CHECK(projection_chunk(4096, 50257, f32) == 128);
  CHECK(projection_chunk(4096, 50257, bf16) == 320);
  CHECK(projection_chunk(100, 1 << 24, f32) == 64);
}

TEST_CASE("the gradient of an absent bias cannot be asked for", "[core][chunk_projection_loss]") {
  Graph graph;
  const Value x = graph.input("x", f32, {5, 3}), weight = graph.input("weight", f32, {4, 3});
  const Value targets = graph.input("targets", i64, {5}), seed = graph.input("seed", f32, {});
  const Attributes options{
      {"ignore_index", std::int64_t{-100}}, {"label_smoothing", 0.0}, {"chunk", std::int64_t{0}}, {"d_bias", true}};
  graph.apply(linear_cross_entropy_gradients_op(), {x, weight, targets, Value{}, Value{}, seed}, options);
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("the gradient of an absent bias is asked for"));
}
