#include <support/catch.h>

#include <optim/given_gradients.h>

#include <weft/optim/each_gradient.h>
#include <weft/weft.h>

#include <cmath>
#include <map>

using namespace weft;

namespace {

// Two layers with dropout, of 6 examples.
struct Model {
  Graph graph;
  Loss loss;

  Model() {
    const Value x = graph.input("x", f32, {graph.dim("batch", 6), 5});
    const nn::Linear in(graph, "in", {.in = 5, .out = 8}), out(graph, "out", {.in = 8, .out = 3});
    const Value y = out(dropout(tanh(in(x)), 0.3));
    loss = weighted_mean(y * y);
  }
};

// Gradient centralisation (Yong et al. 2020, arXiv:2004.01461, eq. 1): the mean of each row of a weight's gradient is
// taken off. A row is what leads to one output.
Value centred(const GradientContext& c) { return c.gradient - mean(c.gradient, {.axes = {-1}, .keep = true}); }

// Its plain definition, for the weights of Model. `width` by name: a wrong one is a wrong law.
GradientLaw centring_law(const std::map<std::string, std::size_t>& width) {
  return [width](GradientTable gradients) {
    for (const auto& [path, n] : width) {
      std::vector<double>& g = gradients.at(path);
      for (std::size_t row = 0; row < g.size(); row += n) {
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += g[row + i];
        for (std::size_t i = 0; i < n; ++i) g[row + i] -= sum / static_cast<double>(n);
      }
    }
    return gradients;
  };
}

Transform centralise(GradientLaw law) {
  return each_gradient({.name = "centralise",
                        .change = "takes the mean of each row off the gradients of weights",
                        .pattern = "*/weight",
                        .make = centred,
                        .law = std::move(law)});
}

Transform noise(const std::string& name = "noise") {
  return each_gradient({.name = name, .change = "noise", .make = [](const GradientContext& c) { return c.normal(); }});
}

Transform halves(const std::string& pattern = "**") {
  return each_gradient({.name = "halves",
                        .pattern = pattern,
                        .make = [](const GradientContext& c) { return c.gradient * 0.5 + c.gradient * 0.5; },
                        .claim = Claim::same_bits});
}

std::vector<Tensor> gradients_of(const Step& step, Store& store, int runs = 1) {
  const Step fetched = step | fetch_gradients();
  Program program(fetched, store);
  Tensor x(f32, {6, 5});
  normal_fill(x.data<float>(), x.size(), 0, random_key(5, 1), 0);
  std::vector<Tensor> found;
  for (int i = 0; i < runs; ++i) {
    const Result result = program.run({{"x", x}});
    for (const Gradient& gradient : fetched.gradients)
      found.push_back(result.tensor("gradient/" + gradient.parameter.name()).clone());
  }
  return found;
}

}  // namespace

TEST_CASE("a rule for each gradient is proven by its law, and a wrong law is found", "[core][optim][each_gradient]") {
  const Model model;
  const Step plain = training_step(model.loss);
  CHECK(verify_equivalent(plain, plain | centralise(centring_law({{"in/weight", 5}, {"out/weight", 8}}))).passed());
  // Columns of the weights for rows; one weight forgotten.
  CHECK_FALSE(
      verify_equivalent(plain, plain | centralise(centring_law({{"in/weight", 8}, {"out/weight", 3}}))).passed());
  CHECK_FALSE(verify_equivalent(plain, plain | centralise(centring_law({{"in/weight", 5}}))).passed());
}

TEST_CASE("a rule meets whole, clean gradients whatever stands before it", "[core][optim][each_gradient]") {
  const Model model;
  const auto rule = [] {
    return each_gradient({.name = "squares",
                          .change = "squares, so a factor shows",
                          .make = [](const GradientContext& c) { return c.gradient * abs(c.gradient); }});
  };
  const Step plain = training_step(model.loss);
  const Step whole = plain | rule();
  CHECK(verify_equivalent(whole, plain | accumulate(3) | rule()).passed());
  CHECK(verify_equivalent(whole, plain | scale_loss(static_scale(64)) | rule()).passed());
  CHECK(verify_equivalent(whole, plain | mixed_precision(bf16) | scale_loss(dynamic_scale()) | accumulate(2) | rule())
            .passed());
  CHECK(verify_equivalent(plain, plain | halves()).passed());
}

TEST_CASE("numbers that a rule draws follow from names, run and seed alone", "[core][optim][each_gradient]") {
  const Model model;
  const Step plain = training_step(model.loss);
  Store a(plain, {.seed = 1}), b(plain, {.seed = 1}), c(plain, {.seed = 2}), d(plain, {.seed = 1});
  const std::vector<Tensor> first = gradients_of(plain | noise(), a, 2);
  const std::vector<Tensor> again = gradients_of(plain | accumulate(2) | clip_global_norm(0.1) | noise(), b, 2);
  const std::vector<Tensor> seeded = gradients_of(plain | noise(), c), named = gradients_of(plain | noise("hiss"), d);
  const std::size_t n = first.size() / 2;
  REQUIRE(n == 4);
  for (std::size_t i = 0; i < 2 * n; ++i) CHECK(same_bits(first[i], again[i]));
  for (std::size_t i = 0; i < n; ++i) {
    CHECK_FALSE(same_bits(first[i], first[n + i]));
    CHECK_FALSE(same_bits(first[i], seeded[i]));
    CHECK_FALSE(same_bits(first[i], named[i]));
  }
  CHECK(first[0].at(0) != first[2].at(0));  // of two parameters
}

TEST_CASE("drawn numbers have the mean and the deviation that were asked for", "[core][optim][each_gradient]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {200, 100}}, init::zeros());
  const Step step =
      training_step(Loss(sum(w))) |
      each_gradient(
          {.name = "noise", .change = "noise", .make = [](const GradientContext& c) { return c.normal(3, 0.5); }}) |
      fetch_gradients();
  Store store(step, {.seed = 1});
  Program program(step, store);
  const Tensor g = program.run().tensor("gradient/w");
  double sum = 0, squares = 0;
  for (const float value : g.values<float>()) {
    sum += value;
    squares += (value - 3.0) * (value - 3.0);
  }
  // 20000 draws: five standard errors of the mean and of the variance.
  CHECK(sum / 20000 == Approx(3).margin(5 * 0.5 / std::sqrt(20000.0)));
  CHECK(squares / 20000 == Approx(0.25).margin(5 * 0.25 * std::sqrt(2 / 20000.0)));
}

TEST_CASE("a rule reads the count of updates that optimize keeps", "[core][optim][each_gradient]") {
  const given::Model model;
  const Step step = training_step(model.loss) |
                    each_gradient({.name = "late",
                                   .change = "nothing is learned by the first two updates",
                                   .make =
                                       [](const GradientContext& c) {
                                         return c.gradient * c.narrow(cast(greater_equal(c.updates, 2), f64));
                                       }}) |
                    optimize(sgd({.rate = 1}));
  Store store(step, {.seed = 1});
  Program program(step, store);
  const Tensor ones3 = given::tensor(f32, {3, 4}, std::vector<double>(12, 1)),
               ones = given::tensor(f32, {5}, std::vector<double>(5, 1));
  const double start = store.tensor("layer/bias").at(0);
  for (int i = 0; i < 3; ++i) {
    CHECK(store.tensor("layer/bias").at(0) == start);
    program.run({{"c0", ones3}, {"c1", ones}});
  }
  CHECK(store.updates() == 3);
  CHECK(store.tensor("layer/bias").at(0) == Approx(start - 1));
}

TEST_CASE("nodes of a rule lie under its name and know what they replaced", "[core][optim][each_gradient]") {
  const Model model;
  const Step plain = training_step(model.loss), step = plain | halves("in/*");
  for (const Gradient& gradient : step.gradients) {
    const Node& node = gradient.value.node();
    const bool matched = gradient.parameter.name().starts_with("in/");
    CHECK((node.provenance.pass == "halves") == matched);
    if (!matched) continue;
    CHECK(node.name.starts_with("halves/" + gradient.parameter.name()));
    CHECK(node.provenance.origin == plain.gradient_of(gradient.parameter)->value.ref().node);
    CHECK(node.phase == Phase::step);
    CHECK(std::string(node.where.file_name()).ends_with("each_gradient_test.cpp"));
  }
}

TEST_CASE("a rule that cannot stand says what is wrong", "[core][optim][each_gradient][errors]") {
  const Model model;
  const Step plain = training_step(model.loss);
  const auto make = [](const GradientContext& c) { return c.gradient; };
  CHECK_THROWS_WITH(each_gradient({.name = "", .change = "x", .make = make}),
                    ContainsSubstring("each_gradient_test.cpp:") && ContainsSubstring("needs a name, got none"));
  CHECK_THROWS_WITH(each_gradient({.name = "mine", .change = "x"}),
                    ContainsSubstring("each_gradient_test.cpp:") &&
                        ContainsSubstring(": each_gradient 'mine' needs a rule, got none; hint: .make = "));
  CHECK_THROWS_WITH(each_gradient({.name = "mine", .make = make}),
                    ContainsSubstring("changes the meaning: say what in .change"));
  CHECK_THROWS_WITH(plain | halves("inn/*"),
                    ContainsSubstring("the pattern 'inn/*' matches no parameter with a gradient; "
                                      "hint: the first of 4 is in/weight"));
  const auto wide = [](const GradientContext& c) { return cast(c.gradient, f64); };
  CHECK_THROWS_WITH(
      plain | each_gradient({.name = "mine", .change = "x", .make = wide}),
      ContainsSubstring("each_gradient_test.cpp:") &&
          ContainsSubstring(": mine: its rule gives f64[8, 5] for 'in/weight', expected the gradient's f32[8, 5]; "
                            "hint: c.narrow()"));
  CHECK_THROWS_WITH(
      plain | each_gradient({.name = "mine", .change = "x", .make = [](const GradientContext&) { return Value{}; }}),
      ContainsSubstring("its rule gives no value for 'in/weight', expected f32[8, 5]"));
  CHECK_THROWS_WITH(plain | optimize(sgd({.rate = 1})) | halves(),
                    ContainsSubstring("the right order: training_step | halves | optimize(sgd)"));
  CHECK_THROWS_WITH(plain | halves() | accumulate(2),
                    ContainsSubstring("the right order: training_step | accumulate(2) | halves"));
}

TEST_CASE("a state of the name 'updates' that is not the step's count is refused",
          "[core][optim][each_gradient][errors]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::ones());
  graph.state("updates", {f32, {3}}, init::zeros());
  CHECK_THROWS_WITH(training_step(Loss(sum(w))) | optimize(sgd({.rate = 1})),
                    ContainsSubstring("'updates' (each_gradient_test.cpp:") &&
                        ContainsSubstring("is a f32[3]: a step counts its updates in a state of that name; hint: "));
  Graph counted;
  const Value v = counted.parameter("w", {f32, {3}}, init::ones());
  const Value own = counted.state("updates", {i64, {}}, init::zeros());
  counted.update(own, own + 2);
  CHECK_THROWS_WITH(training_step(Loss(sum(v))) | optimize(sgd({.rate = 1})),
                    ContainsSubstring("is a i64[] that the graph updates"));
}
