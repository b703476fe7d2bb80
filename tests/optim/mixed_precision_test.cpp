#include <optim/two_layers.h>
#include <support/catch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

using namespace weft;
using test::dtype_in, test::some_x, test::TwoLayers;

namespace {

bool is_cast(const Node& node) { return node.provenance.pass.starts_with("mixed_precision"); }

struct SmallGpt {
  Graph graph;
  Value tokens, targets, logits;
  Loss loss;

  explicit SmallGpt(double dropout = 0, bool tied = true) {
    const Dim batch = graph.dim("batch", 8), time = graph.dim("time", 16);
    tokens = graph.input("tokens", i64, {batch, time});
    targets = graph.input("targets", i64, {batch, time});
    const nn::Gpt model(graph, {.vocab = 19,
                                .layers = 2,
                                .heads = 2,
                                .width = 32,
                                .context = 16,
                                .dropout = dropout,
                                .tied = tied,
                                .deviation = 0.08});
    logits = model(tokens);
    loss = cross_entropy(logits, targets);
  }
};

// Row r of run i: a walk through the vocabulary that a small model learns.
struct Data {
  Tensor x{i64, {8, 16}}, y{i64, {8, 16}};
  explicit Data(std::int64_t run) {
    for (std::int64_t r = 0; r < 8; ++r)
      for (std::int64_t t = 0; t < 16; ++t) {
        const auto at = [&](std::int64_t k) { return (k * k + 3 * k * (r % 3) + run) % 19; };
        x.data<std::int64_t>()[r * 16 + t] = at(t);
        y.data<std::int64_t>()[r * 16 + t] = at(t + 1);
      }
  }
};

std::vector<double> losses_of(const Step& step, int runs) {
  Store store(step, {.seed = 4});
  Program program(step, store);
  std::vector<double> losses;
  for (int i = 0; i < runs; ++i) {
    const Data data(i % 5);
    losses.push_back(program.run({{"tokens", data.x}, {"targets", data.y}}).scalar("loss"));
  }
  return losses;
}

}  // namespace

TEST_CASE("products are computed in the low type, parameters, losses and gradients in f32",
          "[core][optim][precision]") {
  for (const DType low : {bf16, f16}) {
    SmallGpt model;
    const Step step = training_step(model.loss) | mixed_precision(low);
    CHECK(dtype_in(step, model.logits) == low);
    CHECK(step.loss_value.dtype() == f32);
    CHECK(step.fetch("loss").dtype() == f32);
    CHECK(step.seeds.front().dtype() == f32);
    CHECK(step.gradients.size() == model.graph.parameters().size());
    for (const Gradient& gradient : step.gradients) CHECK(gradient.value.dtype() == f32);
    std::set<std::string> products;
    for (const NodeId id : step.graph.ids()) {
      const Node& node = step.graph.node(id);
      if (node.op->traits.precision == Precision::low) {
        CHECK(node.types.front().dtype == low);
        products.insert(node.op->name);
      }
      if (node.op->name == "layer_norm" || node.op->name == "cross_entropy") CHECK(node.types.front().dtype == f32);
      if (node.op->name == "cross_entropy") CHECK(step.graph.type(node.operands.front()).dtype == low);
    }
    CHECK(products == std::set<std::string>{"attention", "attention_backward", "feed_forward", "feed_forward_backward",
                                            "linear", "matmul"});
    CHECK(step.facts.contains("low_precision"));
    CHECK(step.applied.back().claim == Claim::rounding);
    CHECK(step.applied.back().rounds_to == low);
  }
}

TEST_CASE("a hundred steps in bf16 and in f16 learn as f32 does", "[optim][precision]") {
  SmallGpt model(0.1);
  const Step plain = training_step(model.loss);
  const auto finish = [](const Step& step) { return step | clip_global_norm(1.0) | optimize(adamw({.rate = 3e-3})); };
  const std::vector<double> f32_losses = losses_of(finish(plain), 100);
  CHECK(f32_losses.front() > 2.9);
  CHECK(f32_losses.back() < 0.5 * f32_losses.front());
  for (const DType low : {bf16, f16}) {
    const Step lowered = plain | mixed_precision(low);
    const std::vector<double> losses =
        losses_of(finish(low == f16 ? lowered | scale_loss(dynamic_scale()) : lowered), 100);
    double worst = 0;
    for (std::size_t i = 0; i < losses.size(); ++i)
      worst = std::max(worst, std::abs(losses[i] - f32_losses[i]) / f32_losses[i]);
    INFO(name_of(low) << ": the losses differ by at most " << worst << ", relatively");
    CHECK(worst < (low == bf16 ? 0.05 : 0.01));
    CHECK(losses != f32_losses);
  }
}

TEST_CASE("parameters and moments stay f32 in the Store", "[core][optim][precision]") {
  SmallGpt model;
  const Step step =
      training_step(model.loss) | mixed_precision(bf16) | clip_global_norm(1.0) | optimize(adamw({.rate = 0.01}));
  Store store(step);
  Program program(step, store);
  const Data data(0);
  program.run({{"tokens", data.x}, {"targets", data.y}});
  for (const auto& [path, cell] : store.cells()) {
    INFO(path);
    CHECK((cell.tensor.dtype() == f32 || path == "updates" || path == "skipped"));
  }
  CHECK(audit(step).complete());
}

TEST_CASE("gradients in bf16 point where those of f32 do, and dropout draws the same masks",
          "[core][optim][precision]") {
  SmallGpt model(0.2);
  const auto gradients = [&](Step step) {
    for (const Gradient& gradient : std::vector<Gradient>(step.gradients))
      step.set_fetch("d " + gradient.parameter.name(), gradient.value);
    Store store(step, {.seed = 2});
    Program program(step, store);
    const Data data(1);
    const Result result = program.run({{"tokens", data.x}, {"targets", data.y}});
    std::map<std::string, Tensor> found;
    for (const Gradient& gradient : step.gradients)
      found[gradient.parameter.name()] = result.tensor("d " + gradient.parameter.name()).clone();
    return found;
  };
  const auto plain = gradients(training_step(model.loss));
  const auto low = gradients(training_step(model.loss) | mixed_precision(bf16));
  for (const auto& [path, want] : plain) {
    if (path.ends_with("key/bias")) continue;  // 0 but for rounding: softmax does not feel it
    double inner = 0, squares = 0, squares_low = 0;
    for (std::int64_t i = 0; i < want.size(); ++i) {
      inner += want.at(i) * low.at(path).at(i);
      squares += want.at(i) * want.at(i);
      squares_low += low.at(path).at(i) * low.at(path).at(i);
    }
    INFO(path);
    CHECK(inner / std::sqrt(squares * squares_low) > 0.999);  // another mask would be far below
  }
}

TEST_CASE("dropout in bf16 zeroes the same elements as in f32", "[core][optim][precision]") {
  TwoLayers model([](const Value& h) { return dropout(h, 0.5); });
  const Tensor x = some_x();
  const auto dropped = [&](Step step) {
    step.set_fetch("dropped", step.find(model.between));
    Store store(step, {.seed = 8});
    Program program(step, store);
    return program.run({{"x", x}}).tensor("dropped").clone();
  };
  const Tensor wide = dropped(training_step(model.loss)),
               low = dropped(training_step(model.loss) | mixed_precision(bf16));
  CHECK(low.dtype() == bf16);
  int zeros = 0;
  for (std::int64_t i = 0; i < wide.size(); ++i) {
    CHECK((wide.at(i) == 0) == (low.at(i) == 0));
    zeros += wide.at(i) == 0;
  }
  CHECK(zeros > 0);
  CHECK(zeros < wide.size());
}

TEST_CASE("each value is cast once to a type, and no cast is cast", "[core][optim][precision]") {
  SmallGpt model(0.1, false);
  const Step step = training_step(model.loss) | mixed_precision(bf16);
  std::set<std::pair<ValueRef, DType>> seen;
  std::size_t of_parameters = 0, position = 0;
  std::map<NodeId, std::size_t> positions;
  for (const NodeId id : step.graph.ids()) positions[id] = position++;
  const auto states = batch_states(step.graph);
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (!is_cast(node)) continue;
    INFO(node.name);
    const ValueRef from = node.operands.front();
    CHECK(seen.emplace(from, node.types.front().dtype).second);
    CHECK_FALSE(is_cast(step.graph.node(from.node)));
    CHECK(step.graph.type(from).dtype != node.types.front().dtype);
    CHECK_FALSE(step.graph.users({id, 0}).empty());
    // Right behind its value, in its scope, with its line.
    CHECK(positions[id] <= positions[from.node] + 2);
    CHECK(node.name.starts_with(step.graph.node(from.node).name + "/cast"));
    CHECK(node.where.line() == step.graph.node(from.node).where.line());
    if (!step.graph.node(from.node).op->traits.source) continue;
    ++of_parameters;
    CHECK(states[id][0].kind == BatchState::Kind::free);  // accumulate may do it once a step
  }
  // 2 layers of 4 projections and 2 feed-forward matrices with their biases, and the head.
  CHECK(of_parameters == 2 * (8 + 4) + 1);
}

TEST_CASE("a weight that is used twice is cast once", "[core][optim][precision]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value w = graph.parameter("w", {f32, {3, 3}}, init::normal(0, 1));
  const Step step = training_step(Loss(sum(linear(linear(x, w, Value{}), w, Value{})))) | mixed_precision(bf16);
  std::size_t casts = 0;
  for (const NodeId id : step.graph.ids())
    casts += is_cast(step.graph.node(id)) && step.graph.node(id).operands.front() == step.find(w).ref();
  CHECK(casts == 1);
}

TEST_CASE("gradients of those who read one value in the low type are summed in f32", "[core][optim][precision]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value shift = graph.parameter("shift", {f32, {3}}, init::zeros()),
              w = graph.parameter("w", {f32, {3, 3}}, init::normal(0, 1));
  const Value h = x + shift;
  const Step step = training_step(Loss(sum(linear(h, w, Value{}) + linear(h, w, Value{}) + linear(h, w, Value{})))) |
                    mixed_precision(bf16);
  std::size_t sums = 0;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (node.provenance.pass != "gradient" || node.op->name != "add") continue;
    CHECK(node.types.front().dtype == f32);
    ++sums;
  }
  CHECK(sums == 4);  // of three gradients of h and of three of w
}

TEST_CASE("every value of the user is found, and a fetch keeps its declared type", "[core][optim][precision]") {
  SmallGpt model;
  Step before = training_step(model.loss);
  before.set_fetch("logits", before.find(model.logits));
  const Step step = before | mixed_precision(bf16);
  for (const NodeId id : model.graph.ids())
    for (std::uint32_t k = 0; k < model.graph.node(id).types.size(); ++k)
      CHECK(step.find(model.graph.value(id, k)).ref() == ValueRef{id, k});
  CHECK(step.fetch("logits").dtype() == f32);
  Step both = step;
  both.set_fetch("as computed", step.find(model.logits));
  Store store(both, {.seed = 1});
  Program program(both, store);
  const Data data(0);
  const Result result = program.run({{"tokens", data.x}, {"targets", data.y}});
  CHECK(same_bits(result.tensor("logits"), result.tensor("as computed").cast(f32)));
  CHECK_THROWS_WITH(step.find(before.gradients.front().value), ContainsSubstring("mixed_precision(bf16)"));
}

TEST_CASE("a part of the model chosen by its path stays in f32", "[core][optim][precision]") {
  SmallGpt model;
  const Step step = training_step(model.loss) | mixed_precision(bf16, {.overrides = {{"decoder/*/attention/**", f32}}});
  std::size_t kept = 0;
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    if (!node.provenance.pass.empty() || node.op->traits.precision != Precision::low) continue;
    const bool attention = matches("decoder/*/attention/**", node.name);
    INFO(node.name);
    CHECK(node.types.front().dtype == (attention ? f32 : bf16));
    kept += attention;
  }
  CHECK(kept == 2 * 5);
  for (const Gradient& gradient : step.gradients) CHECK(gradient.value.dtype() == f32);
}

TEST_CASE("of overrides the first that matches decides, and a part can be made low", "[core][optim][precision]") {
  TwoLayers model;
  const Step step = training_step(model.loss) |
                    mixed_precision(bf16, {.overrides = {{"second/square", bf16}, {"second/**", f32}, {"**", bf16}}});
  CHECK(dtype_in(step, model.h) == bf16);
  CHECK(dtype_in(step, model.y) == f32);
  for (const NodeId id : step.graph.ids())
    if (step.graph.node(id).name == "second/square") CHECK(step.graph.node(id).types.front().dtype == bf16);
  CHECK(step.loss.terms.front().sum.dtype() == f32);
}

TEST_CASE("a loss that is low by an override enters the backward pass in f32", "[core][optim][precision]") {
  TwoLayers model;
  const Step step = training_step(model.loss) | mixed_precision(bf16, {.overrides = {{"**", bf16}}});
  CHECK(dtype_in(step, model.loss.terms.front().sum) == bf16);
  CHECK(step.loss.terms.front().sum.dtype() == f32);
  CHECK(step.fetch("loss").dtype() == f32);
  for (const Gradient& gradient : step.gradients) CHECK(gradient.value.dtype() == f32);
}

TEST_CASE("an op follows its operands, and where they differ the narrow ones are widened", "[core][optim][precision]") {
  const auto between = [](const std::function<Value(const Value&)>& f) {
    const TwoLayers model(f);
    return dtype_in(training_step(model.loss) | mixed_precision(bf16), model.between);
  };
  CHECK(between([](const Value& h) { return gelu(h); }) == bf16);
  CHECK(between([](const Value& h) { return softmax(h, -1); }) == bf16);
  CHECK(between([](const Value& h) { return layer_norm(h, Value{}, Value{}); }) == bf16);
  // Numbers and other scalars take the tensor's type, as in PyTorch.
  CHECK(between([](const Value& h) { return h * 0.5 + 1.0; }) == bf16);
  CHECK(between([](const Value& h) { return where(greater(h, 0.0), h, -1.0); }) == bf16);
  CHECK(between([](const Value& h) { return h * h.graph().parameter("temperature", {f32, {}}, init::ones()); }) ==
        bf16);
  // Tensors of f32 do not.
  const auto weight = [](const Value& h, const char* name = "gain") {
    return h.graph().parameter(name, {f32, {4}}, init::ones());
  };
  CHECK(between([&](const Value& h) { return h * weight(h); }) == f32);
  CHECK(between([&](const Value& h) { return rms_norm(h, weight(h)); }) == f32);
  CHECK(between([&](const Value& h) { return layer_norm(h, weight(h), weight(h, "shift")); }) == f32);
  CHECK(between([&](const Value& h) { return concatenate({h, broadcast_to(weight(h), h.shape())}, 0); }) == f32);
  // Policies: exp and its kin leave f16's range, reductions sum.
  CHECK(between([](const Value& h) { return exp(h); }) == f32);
  CHECK(between([](const Value& h) { return h + mean(h, {.axes = {-1}, .keep = true}); }) == f32);
}

TEST_CASE("what no product needs is f32: losses made of basic ops, metrics, statistics", "[core][optim][precision]") {
  TwoLayers model;
  const Value other = linear(model.x, model.graph.parameter("other", {f32, {2, 3}}, init::normal(0, 1)), Value{});
  const Loss loss = mse_loss(model.y, other);
  const Value error = abs(model.y - other), state = model.graph.state("error", {f32, {4, 2}}, init::zeros());
  model.graph.update(state, error);
  const Value left = model.graph.state("left", {f32, {4, 2}}, init::zeros());
  const Value right = model.graph.state("right", {f32, {4, 2}}, init::zeros());
  model.graph.update(left, model.y);
  model.graph.update(right, other);
  const Step step = training_step(loss) | mixed_precision(bf16);
  CHECK(dtype_in(step, model.y) == bf16);
  CHECK(dtype_in(step, other) == bf16);
  CHECK(dtype_in(step, error) == f32);
  for (const Update& update : step.updates) CHECK(update.value.dtype() == f32);
  std::size_t differences = 0;
  for (const NodeId id : step.graph.ids())
    if (step.graph.node(id).op->name == "subtract") {
      CHECK(step.graph.node(id).types.front().dtype == f32);
      ++differences;
    }
  CHECK(differences == 2);
  Store store(step, {.seed = 3});
  Program program(step, store);
  const Tensor x = some_x();
  program.run({{"x", x}});
  for (std::int64_t i = 0; i < 8; ++i) {
    const float y = store.tensor("left").data<float>()[i];
    CHECK(y == static_cast<float>(bfloat16(y)));  // rounded once, then exact
    CHECK(store.tensor("error").data<float>()[i] == std::abs(y - store.tensor("right").data<float>()[i]));
  }
}

TEST_CASE("cross entropy reads low logits and gives the bits that it gives for them in f32",
          "[core][optim][precision]") {
  SmallGpt model(0.1);
  const auto run = [&](const MixedPrecisionOptions& options, std::size_t casts_of_logits) {
    Step step = training_step(model.loss) | mixed_precision(bf16, options);
    std::size_t casts = 0;
    for (const NodeId id : step.graph.users(step.find(model.logits).ref())) casts += is_cast(step.graph.node(id));
    CHECK(casts == casts_of_logits);
    for (const Gradient& gradient : std::vector<Gradient>(step.gradients))
      step.set_fetch("d " + gradient.parameter.name(), gradient.value);
    Store store(step, {.seed = 2});
    Program program(step, store);
    const Data data(1);
    const Result result = program.run({{"tokens", data.x}, {"targets", data.y}});
    std::vector<Tensor> found{result.tensor("loss").clone()};
    for (const Gradient& gradient : step.gradients)
      found.push_back(result.tensor("d " + gradient.parameter.name()).clone());
    return found;
  };
  const std::vector<Tensor> as_they_come = run({}, 0), widened = run({.overrides = {{"cross_entropy", f32}}}, 1);
  REQUIRE(as_they_come.size() == widened.size());
  for (std::size_t i = 0; i < widened.size(); ++i) CHECK(same_bits(as_they_come[i], widened[i]));
}

TEST_CASE("what was built in a type of its own stays so", "[core][optim][precision]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
  const Value narrow = graph.parameter("narrow", {bf16, {3, 3}}, init::normal(0, 1));
  const Value w = graph.parameter("w", {f32, {2, 3}}, init::normal(0, 1));
  const Value h = linear(cast(x, bf16), narrow, Value{});
  const Step step = training_step(Loss(sum(linear(cast(h, f32), w, Value{})))) | mixed_precision(f16);
  CHECK(dtype_in(step, h) == bf16);
  CHECK(step.gradient_of(narrow)->value.dtype() == bf16);
  CHECK(step.gradient_of(w)->value.dtype() == f32);
}

TEST_CASE("evaluation runs in the precision of training", "[core][optim][precision]") {
  SmallGpt model(0.2);
  const Step step = evaluation(model.loss, {model.logits}) | mixed_precision(bf16);
  CHECK(step.gradients.empty());
  CHECK(dtype_in(step, model.logits) == bf16);
  CHECK(step.fetch(model.logits.name()).dtype() == f32);
  Store store(step, {.seed = 1});
  Program low(step, store), wide(evaluation(model.loss), store);
  const Data data(0);
  const double a = low.run({{"tokens", data.x}, {"targets", data.y}}).scalar("loss");
  CHECK(a == Approx(wide.run({{"tokens", data.x}, {"targets", data.y}}).scalar("loss")).epsilon(5e-3));
}

TEST_CASE("an op that has no kernel for the low type runs in f32", "[core][optim][precision]") {
  static const OpDef op{.name = "user_twice",
                        .law = "y = 2 x, in f32 only",
                        .infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(0)}; },
                        .batch = [](const OpView&, std::span<const BatchState> in) { return std::vector{in[0]}; },
                        .backward = [](Backward& b) { b.input(0, b.cotangent(0) * 2.0); },
                        .kernels = {{.dtype = f32, .run = [](KernelContext& k) {
                                       for (std::int64_t i = 0; i < k.type(0).count(); ++i)
                                         k.out<float>(0)[i] = 2 * k.in<float>(0)[i];
                                     }}}};
  static const OpDef strict{.name = "user_strict",
                            .law = "y = x, of f32 only",
                            .infer = [](const OpView& view) -> std::vector<TensorType> {
                              WEFT_CHECK(view.type(0).dtype == f32, "only f32, got {}", view.type(0).str());
                              return {view.type(0)};
                            },
                            .batch = op.batch,
                            .backward = [](Backward& b) { b.input(0, b.cotangent(0)); },
                            .kernels = op.kernels};
  for (const OpDef* user : {&op, &strict}) {
    TwoLayers model([&](const Value& h) { return h.graph().apply(*user, {h}).front(); });
    const Step step = training_step(model.loss) | mixed_precision(bf16);
    CHECK(dtype_in(step, model.h) == bf16);
    CHECK(dtype_in(step, model.between) == f32);
    Store store(step, {.seed = 3});
    Program program(step, store);
    const Tensor x = some_x();
    CHECK(std::isfinite(program.run({{"x", x}}).scalar("loss")));
  }
}

TEST_CASE("bf16 saves bytes of activations", "[optim][precision]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 16), time = graph.dim("time", 64);
  const Value tokens = graph.input("tokens", i64, {batch, time}), targets = graph.input("targets", i64, {batch, time});
  const nn::Gpt model(graph, {.vocab = 65, .layers = 4, .heads = 4, .width = 128, .context = 64});
  const Step step = training_step(cross_entropy(model(tokens), targets));
  const Plan wide = plan(step | optimize(adamw({})), {.threads = 1});
  const Plan low = plan(step | mixed_precision(bf16) | optimize(adamw({})), {.threads = 1});
  INFO(wide.arena_bytes << " B in f32, " << low.arena_bytes << " B in bf16");
  CHECK(static_cast<double>(low.arena_bytes) < 0.85 * static_cast<double>(wide.arena_bytes));
}

TEST_CASE("the plan says where products of two bytes are computed in f32", "[core][optim][precision]") {
  SmallGpt model;
  const Step step = training_step(model.loss);
  const auto text = [&](DType low) { return plan(step | mixed_precision(low)).str(); };
  CHECK_THAT(text(f16), ContainsSubstring("products of f16 are computed in f32"));
  const bool said = text(bf16).find("products of bf16 are computed in f32") != std::string::npos;
  CHECK(said == bf16_is_emulated());
  CHECK(plan(step).str().find("are computed in f32") == std::string::npos);
}

TEST_CASE("a run is the same bits for any number of threads in the low type too", "[core][optim][precision]") {
  SmallGpt model(0.1);
  const Step step = training_step(model.loss) | mixed_precision(bf16) | optimize(adamw({.rate = 0.01}));
  const auto train = [&](int threads) {
    Store store(step, {.seed = 6});
    Program program(step, store, {.threads = threads});
    for (int i = 0; i < 2; ++i) {
      const Data data(i);
      program.run({{"tokens", data.x}, {"targets", data.y}});
    }
    return store;
  };
  const Store one = train(1), three = train(3);
  for (const auto& [path, cell] : one.cells()) CHECK(same_bits(cell.tensor, three.tensor(path)));
}

TEST_CASE("a parameter left without gradient before stays without", "[core][optim][precision]") {
  TwoLayers model;
  Step step = training_step(model.loss);
  step.gradients.erase(step.gradients.begin());
  const Step low = step | mixed_precision(bf16);
  REQUIRE(low.gradients.size() == 1);
  CHECK(low.gradients.front().parameter.name() == "second/weight");
}

TEST_CASE("a gradient that is part of the loss is rewritten with it", "[core][optim][precision]") {
  TwoLayers model;
  const Value penalty = sum(square(gradient(sum(model.y), {model.w1}).front()));
  const Value unread = gradient(sum(model.y), {model.w2}).front();
  const Step step = training_step(model.loss + Loss(penalty)) | mixed_precision(bf16);
  CHECK(step.gradients.size() == 2);
  CHECK(step.find(unread).ref() == unread.ref());
  const Step wide = training_step(model.loss + Loss(penalty));
  Store store(step, {.seed = 5});
  Program a(step, store), b(wide, store);
  const Tensor x = some_x();
  CHECK(a.run({{"x", x}}).scalar("loss") == Approx(b.run({{"x", x}}).scalar("loss")).epsilon(0.03));
}
