// verify_equivalent itself: what it accepts, what it refuses, what it says.
#include <support/catch.h>

#include <weft/testing/equivalent_to.h>
#include <weft/weft.h>

#include <algorithm>
#include <limits>

using namespace weft;

namespace {

// An embedding, dropout, a tied head, padding: small, and with everything that can go wrong.
struct Model {
  Graph graph;
  Value dropped;
  Loss loss;

  explicit Model(DType dtype = f32) {
    const Dim batch = graph.dim("batch", 6), time = graph.dim("time", 5);
    const Value tokens = graph.input("tokens", i32, {batch, time});
    const Value targets = graph.input("targets", i32, {batch, time});
    const Value table = graph.parameter("table", {dtype, {11, 8}}, init::normal(0, 0.5));
    const Value weight = graph.parameter("weight", {dtype, {8, 8}}, init::normal(0, 0.5));
    const auto scope = graph.scope("body");
    dropped = dropout(gelu(matmul(embedding(table, tokens), weight)), 0.2);
    loss = cross_entropy(matmul(dropped, transpose(table, {1, 0})), targets);
  }
};

// y = x w against targets, with a feed that can overflow.
struct Regression {
  Graph graph;
  Loss loss;

  Regression() {
    const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3});
    const Value w = graph.parameter("w", {f32, {3, 2}}, init::normal(0, 1));
    const Value y = matmul(x, w);
    loss = LossTerm{1, sum(y * y), full(graph, {}, f32, 4)};
  }
  // Run 1 has an element that is not finite.
  static NamedTensors feeds(std::int64_t run) {
    Tensor x(f32, {4, 3});
    for (std::int64_t i = 0; i < 12; ++i) x.data<float>()[i] = 0.1F * static_cast<float>(i - 3 * run);
    if (run == 1) x.data<float>()[7] = std::numeric_limits<float>::infinity();
    return {{"x", x}};
  }
};

EquivalenceOptions options() { return {.integers = {{"tokens", 11}, {"targets", 11}}, .padding = {{"targets", -100}}}; }

// A user's transform: another value for the first gradient.
Transform on_first_gradient(const std::string& name, Claim claim, std::function<Value(const Value&)> make,
                            GradientLaw law = {}) {
  auto apply = [make = std::move(make), name](Step step) {
    Gradient& gradient = step.gradients.front();
    const auto origin = step.graph.made_by(name, gradient.value.ref().node);
    gradient.value = make(gradient.value);
    return step;
  };
  return {.name = name, .claim = claim, .needs = {"gradients"}, .apply = std::move(apply), .law = std::move(law)};
}

// Another value for what `parameter` becomes.
Transform on_update(const std::string& name, Claim claim, DType rounds_to, std::function<Value(const Value&)> make) {
  auto apply = [make = std::move(make), name](Step step) {
    for (Update& update : step.updates) {
      if (update.state.node().op != &parameter_op()) continue;
      const auto origin = step.graph.made_by(name, update.value.ref().node);
      update.value = make(update.value);
    }
    return step;
  };
  return {.name = name, .claim = claim, .needs = {"optimized"}, .apply = std::move(apply), .rounds_to = rounds_to};
}

}  // namespace

TEST_CASE("a step is equivalent to itself, bit for bit, and the report says what was compared",
          "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss) | clip_global_norm(0.1) | optimize(adamw({.rate = 1e-2}));
  const Equivalence result = verify_equivalent(step, step, options());
  INFO(result.str());
  CHECK(result.passed());
  CHECK(result.runs == 3);
  CHECK(result.compared.at("gradient") == 2 * 2 * 3);        // parameters, types, runs
  CHECK(result.compared.at("cell") == (2 * 3 + 2) * 2 * 3);  // parameters and moments; updates and skipped
  CHECK_THAT(result.str(), StartsWith("equivalent") && ContainsSubstring("the same transforms, so the same bits"));
}

TEST_CASE("times three and a third is rounding, and is not the same bits", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss);
  const auto thrice = [](const Value& g) { return (g * 3.0) * (1.0 / 3.0); };
  const Equivalence rounded =
      verify_equivalent(step, step | on_first_gradient("thrice", Claim::rounding, thrice), options());
  INFO(rounded.str());
  CHECK(rounded.passed());
  CHECK_THAT(rounded.str(), ContainsSubstring("thrice") && ContainsSubstring("equal up to rounding"));

  const Equivalence exact =
      verify_equivalent(step, step | on_first_gradient("thrice", Claim::same_bits, thrice), options());
  CHECK_FALSE(exact.passed());
  CHECK_THAT(exact.str(), StartsWith("NOT EQUIVALENT") && ContainsSubstring("gradient 'table'") &&
                              ContainsSubstring("expected the same bits") && ContainsSubstring("made by thrice"));
}

TEST_CASE("a gradient that is wrong by one part in ten million is caught in float64", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss) | clip_global_norm(1.0);
  const Transform wrong =
      on_first_gradient("a bit more", Claim::rounding, [](const Value& g) { return g * (1 + 1e-7); });
  const Equivalence result = verify_equivalent(step, step | wrong, options());
  CHECK_FALSE(result.passed());
  REQUIRE_FALSE(result.failures.empty());
  CHECK(result.failures.front().twin);
  CHECK(result.failures.front().name == "table");
}

TEST_CASE("the first node that differs is named with its path, the user's line and the pass that made it",
          "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const int line = __LINE__ - 2;
  (void)line;
  // Another mask for the one dropout of the forward pass; the backward pass keeps the right one.
  const Transform other_mask{.name = "other_mask", .claim = Claim::rounding, .apply = [&](Step from) {
                               Rebuild rebuild(from.graph, "other_mask");
                               const NodeId dropped = from.find(model.dropped).ref().node;
                               for (const NodeId id : from.graph.ids()) {
                                 const Node& node = from.graph.node(id);
                                 if (id == dropped)
                                   rebuild.keep_with(node, node.attributes.with("stream", std::int64_t{999}));
                                 else rebuild.keep(node);
                               }
                               return from.over(rebuild.finish());
                             }};
  const Equivalence result = verify_equivalent(step, step | other_mask, options());
  CHECK_FALSE(result.passed());
  REQUIRE(result.first.has_value());
  CHECK(result.first->path == "body/dropout");
  CHECK_THAT(result.first->where, StartsWith("verify_equivalent_test.cpp:"));
  CHECK(result.first->error > 1e-3);
  CHECK_THAT(result.str(), ContainsSubstring("first node that differs: body/dropout (verify_equivalent_test.cpp:"));
}

TEST_CASE("a change of meaning is checked by its law", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss);
  const auto half = [](const Value& g) { return g * 0.5; };
  const auto law = [](double factor) {
    return [factor](GradientTable table) {
      for (double& g : table.at("table")) g *= factor;
      return table;
    };
  };
  const Step halved = step | on_first_gradient("halve", Claim::changes_meaning, half, law(0.5));
  CHECK_THAT(halved, EquivalentTo(step, options()));
  // The law of one stands beside the claims of the others.
  CHECK_THAT(halved | optimize(adamw({.rate = 1e-2})), EquivalentTo(step | optimize(adamw({.rate = 1e-2})), options()));
  CHECK_THAT(step, EquivalentTo(halved, options()));
  const Equivalence wrong =
      verify_equivalent(step, step | on_first_gradient("halve", Claim::changes_meaning, half, law(0.25)), options());
  CHECK_FALSE(wrong.passed());
  CHECK_THAT(wrong.str(), ContainsSubstring("gradient 'table'") && ContainsSubstring("its law predicts the gradients"));
}

TEST_CASE("a law that leaves gradients out, adds some, or throws proves nothing", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss);
  const auto double_all = [](const Value& g) { return g * 2.0; };
  const auto told = [&](GradientLaw law) {
    const Step changed = step | on_first_gradient("mine", Claim::changes_meaning, double_all, std::move(law));
    for (const auto& [before, after] : {std::pair{step, changed}, std::pair{changed, step}}) {
      const Equivalence result = verify_equivalent(before, after, options());
      CHECK_FALSE(result.passed());
      CHECK_THAT(result.str(), ContainsSubstring("the law of 'mine'"));
    }
    return verify_equivalent(step, changed, options()).str();
  };
  CHECK_THAT(
      told([](const GradientTable&) { return GradientTable{}; }),
      ContainsSubstring("gradient 'table'") && ContainsSubstring("gives nothing for it; hint: it gives back a table"));
  CHECK_THAT(told([](GradientTable table) {
               table.erase("table");
               return table;
             }),
             ContainsSubstring("gives nothing for it"));
  CHECK_THAT(
      told([](GradientTable table) {
        table["tabel"] = table.at("table");
        return table;
      }),
      ContainsSubstring("gradient 'tabel'") && ContainsSubstring("gives it, and there is no gradient of that path"));
  CHECK_THAT(told([](GradientTable table) {
               table.at("table").pop_back();
               return table;
             }),
             ContainsSubstring("numbers for it, it has"));
  const Step throwing = step | on_first_gradient("mine", Claim::changes_meaning, double_all, [](GradientTable table) {
                          table.at("nope").clear();
                          return table;
                        });
  CHECK_THROWS_WITH(verify_equivalent(step, throwing, options()), ContainsSubstring("the law of 'mine' threw "));
}

TEST_CASE("a change of meaning without a law leaves loss and gradients as they are", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss);
  CHECK_THAT(step | optimize(adamw({.rate = 1e-2})), EquivalentTo(step, options()));
  const Equivalence result = verify_equivalent(
      step, step | on_first_gradient("halve", Claim::changes_meaning, [](const Value& g) { return g * 0.5; }),
      options());
  CHECK_FALSE(result.passed());
  CHECK(result.failures.front().kind == "gradient");
}

TEST_CASE("masters that were rounded to the low type are caught, however small their error",
          "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-1}));
  const Step rounded =
      step | on_update("low masters", Claim::rounding, bf16, [](const Value& w) { return cast(cast(w, bf16), f32); });
  const Equivalence result = verify_equivalent(step, rounded, options());
  CHECK_FALSE(result.passed());
  CHECK_THAT(result.str(), ContainsSubstring("holds only numbers of bf16"));
  const Step same = step | on_update("sound masters", Claim::rounding, bf16, [](const Value& w) { return w + 0.0; });
  CHECK_THAT(same, EquivalentTo(step, options()));
}

TEST_CASE("a run whose gradients are not finite may change no parameter", "[core][optim][equivalence]") {
  const Regression model;
  const EquivalenceOptions given{.runs = 4, .feeds = Regression::feeds};
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const Equivalence sound = verify_equivalent(step, step, given);
  INFO(sound.str());
  CHECK(sound.passed());
  CHECK(sound.skipped == 1);
  const Equivalence wrong = verify_equivalent(
      step, step | on_update("creep", Claim::changes_meaning, f64, [](const Value& w) { return w + 1e-3; }), given);
  CHECK_FALSE(wrong.passed());
  CHECK_THAT(wrong.str(),
             ContainsSubstring("'w'") && ContainsSubstring("changed in a run whose gradients are not finite"));
}

TEST_CASE("what both update is compared across a change that only adds", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const Step more = step | on_update("decay", Claim::changes_meaning, f64, [](const Value& w) { return w * 0.99; });
  CHECK_THAT(more, EquivalentTo(step, options()));  // an update may change: it is a change of meaning
  EquivalenceOptions strict = options();
  strict.adds_only = true;
  const Equivalence result = verify_equivalent(step, more, strict);
  CHECK_FALSE(result.passed());
  CHECK(result.failures.front().kind == "cell");
}

TEST_CASE("a step of f64 alone is its own twin", "[core][optim][equivalence]") {
  const Model model(f64);
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const Equivalence result = verify_equivalent(step, step, options());
  CHECK(result.passed());
  CHECK(result.compared.at("gradient") == 2 * 3);
}

TEST_CASE("the float64 twin has the step's ids, names and masks, and no narrower type", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss) | optimize(adamw({.rate = 1e-2}));
  const Step twin = widen(step);
  CHECK(has_narrow_types(step));
  CHECK_FALSE(has_narrow_types(twin));
  REQUIRE(twin.graph.size() == step.graph.size());
  for (const NodeId id : step.graph.ids()) CHECK(twin.graph.node(id).name == step.graph.node(id).name);

  NamedTensors feeds = random_feeds(model.graph, 0, {0, {{"tokens", 11}, {"targets", 11}}, {}});
  auto mask = [&](const Step& of) {
    Store store(of, {.seed = 5});
    Program program(of | fetch("dropped", model.dropped), store);
    return program.run(feeds_of(feeds)).tensor("dropped").clone();
  };
  const Tensor narrow = mask(step), wide = mask(twin);
  CHECK(wide.dtype() == f64);
  double error = 0;
  for (std::int64_t i = 0; i < narrow.size(); ++i) {
    CHECK((narrow.at(i) == 0) == (wide.at(i) == 0));
    error = std::max(error, std::abs(narrow.at(i) - wide.at(i)));
  }
  CHECK(error > 0);
  CHECK(error < 1e-6);
}

TEST_CASE("random feeds respect bounds, end in uneven padding and differ from run to run",
          "[core][optim][equivalence]") {
  const Model model;
  const RandomFeeds bounds{3, {{"tokens", 11}, {"targets", 7}}, {{"targets", -100}}};
  const NamedTensors first = random_feeds(model.graph, 0, bounds), second = random_feeds(model.graph, 1, bounds);
  REQUIRE(first.size() == 2);
  CHECK_FALSE(same_bits(first[0].second, second[0].second));
  CHECK(same_bits(first[1].second, random_feeds(model.graph, 0, bounds)[1].second));
  std::set<std::int64_t> lengths;
  for (std::int64_t r = 0; r < 6; ++r) {
    std::int64_t length = 0;
    while (length < 5 && first[1].second.at(r * 5 + length) >= 0) ++length;
    lengths.insert(length);
    CHECK(length >= 1);
    for (std::int64_t c = 0; c < 5; ++c) {
      const double id = first[1].second.at(r * 5 + c);
      CHECK((c < length ? id >= 0 && id < 7 : id == -100));
    }
  }
  CHECK(lengths.size() > 1);
}

TEST_CASE("steps that cannot be compared are refused by name and line", "[core][optim][equivalence][errors]") {
  const Model model;
  const Regression other;
  const Step step = training_step(model.loss);
  CHECK_THROWS_WITH(verify_equivalent(step, training_step(other.loss)),
                    ContainsSubstring("steps over different graphs cannot be compared") &&
                        ContainsSubstring("the input 'tokens'") && ContainsSubstring("verify_equivalent_test.cpp:"));
  const Model wide(f64);
  CHECK_THROWS_WITH(verify_equivalent(step, training_step(wide.loss)),
                    ContainsSubstring("the parameter 'table' is f32[11, 8]") && ContainsSubstring("f64[11, 8]"));
  CHECK_THROWS_WITH(verify_equivalent(evaluation(model.loss), evaluation(model.loss), options()),
                    ContainsSubstring("evaluation has no gradients; hint: training_step(loss)"));
  CHECK_THROWS_WITH(verify_equivalent(step, step), ContainsSubstring("the integer input 'tokens'") &&
                                                       ContainsSubstring("hint: .integers = {{\"tokens\", n}}"));
  CHECK_THROWS_WITH(verify_equivalent(step, step, {.integers = {{"tokens", 11}, {"targets", 0}}}),
                    ContainsSubstring("'targets' needs a bound of at least 1, got 0"));
  CHECK_THROWS_WITH(verify_equivalent(step, step, {.integers = {{"token", 11}}}),
                    ContainsSubstring("integers names 'token', which is no input; there are: tokens, targets"));
  CHECK_THROWS_WITH(verify_equivalent(step, step, {.runs = 0}), ContainsSubstring("at least 1 run, got 0"));
  CHECK_THROWS_WITH(verify_equivalent(step, step, {.float64 = false, .own_types = false}),
                    ContainsSubstring("neither float64 nor"));
}

TEST_CASE("the matcher prints the report, and a step as its transforms", "[core][optim][equivalence]") {
  const Model model;
  const Step step = training_step(model.loss);
  const Step wrong = step | on_first_gradient("wrong", Claim::rounding, [](const Value& g) { return g * 2.0; });
  const EquivalentTo matcher(step, options());
  CHECK_FALSE(matcher.match(wrong));
  CHECK_THAT(matcher.describe(), ContainsSubstring("should be equivalent") && ContainsSubstring("gradient 'table'"));
  CHECK(Catch::StringMaker<Step>::convert(wrong) == "training_step | wrong");
}
