#include <optim/given_gradients.h>
#include <support/catch.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

using namespace weft;
using given::Lists, given::Model, given::Runner;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double NaN = std::numeric_limits<double>::quiet_NaN();

double number(const nlohmann::json& value) {
  if (!value.is_string()) return value.get<double>();
  return value == "nan" ? NaN : value == "inf" ? inf : -inf;
}

Lists lists(const nlohmann::json& values) {
  Lists result;
  for (const auto& list : values) {
    result.emplace_back();
    for (const auto& value : list) result.back().push_back(number(value));
  }
  return result;
}

nlohmann::json stored() {
  std::ifstream file(std::string(WEFT_TESTS_DIR) + "/optim/data/scaling.json");
  return nlohmann::json::parse(file);
}

bool near(double got, double want, double tolerance) {
  if (std::isnan(want) || std::isinf(want)) return std::isnan(want) ? std::isnan(got) : got == want;
  return std::abs(got - want) <= tolerance * std::max(std::abs(want), 1e-12);
}

void check_near(const Lists& got, const Lists& want, double tolerance) {
  for (std::size_t i = 0; i < want.size(); ++i)
    for (std::size_t k = 0; k < want[i].size(); ++k) {
      INFO("element " << k << " of gradient " << i << ": got " << got[i][k] << ", expected " << want[i][k]);
      CHECK(near(got[i][k], want[i][k], tolerance));
    }
}

Lists gradients_of(const Result& result) {
  return {given::list(result.tensor("gradient/layer/weight")), given::list(result.tensor("gradient/layer/bias"))};
}

Lists clipped(DType dtype, const Transform& clip, const Lists& gradients) {
  Model model(dtype);
  Runner runner(training_step(model.loss) | clip | fetch_gradients());
  return gradients_of(runner.run(gradients));
}

// The formulas, in double and by hand.
double norm_of(const Lists& gradients, double p) {
  double total = 0;
  for (const auto& list : gradients)
    for (const double g : list) total = std::isinf(p) ? std::max(total, std::abs(g)) : total + std::pow(std::abs(g), p);
  return std::isinf(p) ? total : std::pow(total, 1 / p);
}

Lists times(Lists gradients, double factor) {
  for (auto& list : gradients)
    for (double& g : list) g *= factor;
  return gradients;
}

Lists scaled_by_hundred() { return times(given::plain(), 100); }

}  // namespace

TEST_CASE("clips equal PyTorch's clip_grad_norm_ and clip_grad_value_, inf and NaN included", "[core][optim][clip]") {
  const nlohmann::json file = stored();
  REQUIRE(file.at("clip").size() == 70);
  for (const auto& c : file.at("clip")) {
    const DType dtype = c.at("dtype") == "torch.float64" ? f64 : f32;
    const double tolerance = dtype == f64 ? 1e-12 : 2e-6;
    const std::string call = c.at("call");
    INFO(call << " " << c.at("kind") << " " << c.at("dtype") << " norm_type "
              << c.value("norm_type", nlohmann::json("2")));
    Model model(dtype);
    Step step = training_step(model.loss);
    std::string norm = "grad_norm";
    if (call != "clip_grad_norm_") step = step | clip_value(c.at("limit"), NonFinite::propagate);
    if (call != "clip_grad_value_") {
      const double p = call == "both" ? 2 : number(c.at("norm_type"));
      step = step | clip_global_norm(c.at("max_norm"), {.norm_type = p, .non_finite = NonFinite::propagate});
      norm = (call == "both" ? "clipped_norm" : "grad_norm") + (p == 2 ? "" : fmt::format("/{}", p));
    }
    Runner runner(step | fetch_gradients());
    const Result result = runner.run(lists(c.at("gradients")));
    if (call != "clip_grad_value_") {
      INFO("norm: got " << result.scalar(norm) << ", PyTorch has " << c.at("norm"));
      CHECK(near(result.scalar(norm), number(c.at("norm")), tolerance));
    }
    check_near(gradients_of(result), lists(c.at("clipped")), tolerance);
  }
}

TEST_CASE("the global norm is the p-norm of all elements, and the factor min(1, max_norm / (norm + 1e-6))",
          "[core][optim][clip]") {
  for (const double p : {1.0, 1.25, 2.0, 2.5, 7.0, inf})
    for (const double most : {0.01, 1.0, 30.0}) {
      INFO("p " << p << ", max_norm " << most);
      const double norm = norm_of(given::plain(), p);
      const Lists want = times(given::plain(), std::min(1.0, most / (norm + 1e-6)));
      check_near(clipped(f64, clip_global_norm(most, {.norm_type = p}), given::plain()), want, 1e-12);
      check_near(clipped(f32, clip_global_norm(most, {.norm_type = p}), given::plain()), want, 1e-6);
    }
}

TEST_CASE("clip_norm measures each gradient by itself", "[core][optim][clip]") {
  for (const double p : {1.0, 2.0, 3.0, inf}) {
    Lists want = given::plain();
    for (auto& list : want) list = times({list}, std::min(1.0, 0.7 / (norm_of({list}, p) + 1e-6))).front();
    INFO("p " << p);
    check_near(clipped(f64, clip_norm(0.7, {.norm_type = p}), given::plain()), want, 1e-12);
    check_near(clipped(f32, clip_norm(0.7, {.norm_type = p}), given::plain()), want, 1e-6);
  }
}

TEST_CASE("clip_value clamps each element to the limit and leaves the others' bits", "[core][optim][clip]") {
  const Lists got = clipped(f32, clip_value(0.3), given::plain());
  const Lists before = given::plain();
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t k = 0; k < before[i].size(); ++k) {
      const auto g = static_cast<float>(before[i][k]);
      CHECK(static_cast<float>(got[i][k]) == std::clamp(g, -0.3F, 0.3F));
    }
}

TEST_CASE("every clip leaves a short gradient as it is, to the bit", "[core][optim][clip]") {
  for (const DType dtype : {f32, f64}) {
    const Lists same = clipped(dtype, fetch_gradients(), given::plain());
    CHECK(same == Lists{given::list(given::tensor(dtype, {12}, given::plain()[0])),
                        given::list(given::tensor(dtype, {5}, given::plain()[1]))});
    for (const double p : {1.0, 1.5, 2.0, inf}) {
      CHECK(clipped(dtype, clip_global_norm(100, {.norm_type = p}), given::plain()) == same);
      CHECK(clipped(dtype, clip_norm(100, {.norm_type = p}), given::plain()) == same);
      CHECK(clipped(dtype, clip_global_norm(inf, {.norm_type = p}), given::plain()) == same);  // only measures
    }
    CHECK(clipped(dtype, clip_value(100), given::plain()) == same);
  }
}

TEST_CASE("the law that a clip declares is what it does", "[core][optim][clip]") {
  const std::vector<Transform> clips{
      clip_global_norm(0.5), clip_global_norm(0.5, {.norm_type = 1}), clip_global_norm(0.5, {.norm_type = inf}),
      clip_norm(0.5),        clip_norm(0.5, {.norm_type = 3}),        clip_value(0.2),
      clip_global_norm(1e9)};
  for (const Transform& clip : clips) {
    INFO(clip.change);
    CHECK(clip.claim == Claim::changes_meaning);
    const Lists before = given::plain();
    const GradientTable after = clip.law({{"layer/weight", before[0]}, {"layer/bias", before[1]}});
    check_near(clipped(f64, clip, before), {after.at("layer/weight"), after.at("layer/bias")}, 1e-12);
  }
  CHECK_THAT(clip_global_norm(0.5, {.norm_type = inf}).change,
             ContainsSubstring("min(1, 0.5 / (n + 1e-6)), n = their inf-norm together"));
}

TEST_CASE("a second clip measures what the first left, and grad_norm stays the norm before any",
          "[core][optim][clip]") {
  Model model(f64);
  Runner runner(training_step(model.loss) | clip_value(0.5) | clip_global_norm(1.0) | clip_norm(0.4) |
                fetch_gradients());
  const Result result = runner.run(scaled_by_hundred());
  Lists want = scaled_by_hundred();
  const double whole = norm_of(want, 2);
  for (auto& list : want)
    for (double& g : list) g = std::clamp(g, -0.5, 0.5);
  const double between = norm_of(want, 2);
  want = times(want, std::min(1.0, 1.0 / (between + 1e-6)));
  for (auto& list : want) list = times({list}, std::min(1.0, 0.4 / (norm_of({list}, 2) + 1e-6))).front();
  CHECK(result.scalar("grad_norm") == Approx(whole).epsilon(1e-13));
  CHECK(result.scalar("clipped_norm") == Approx(between).epsilon(1e-13));
  check_near(gradients_of(result), want, 1e-12);
}

TEST_CASE("a gradient fetched before a clip is the one before it", "[core][optim][clip]") {
  Model model(f64);
  Step step = training_step(model.loss) | fetch_gradients("**/bias") | clip_value(0.1);
  CHECK(step.has_fetch("gradient/layer/bias"));
  CHECK_FALSE(step.has_fetch("gradient/layer/weight"));
  Runner before(step), after(step | fetch_gradients());
  CHECK(given::list(before.run(given::plain()).tensor("gradient/layer/bias")) == given::plain()[1]);
  CHECK(gradients_of(after.run(given::plain()))[1] == clipped(f64, clip_value(0.1), given::plain())[1]);
}

TEST_CASE("by the policy skip a step whose norm is not finite changes nothing but the counter", "[core][optim][clip]") {
  for (const Transform& clip :
       {clip_global_norm(1.0), clip_global_norm(1.0, {.norm_type = 1}), clip_global_norm(1.0, {.norm_type = inf}),
        clip_norm(1.0), clip_norm(1.0, {.norm_type = inf}), clip_value(1.0)}) {
    Model model;
    Runner runner(training_step(model.loss) | clip | optimize(adamw({.rate = 0.1})));
    CHECK(runner.run(given::plain()).scalar("finite") == 1);
    for (const double bad : {inf, -inf, NaN}) {
      const Store before = runner.store.clone();
      CHECK(runner.run(given::plain_with(1, 3, bad)).scalar("finite") == 0);
      CHECK(given::changed_cells(before, runner.store) == "skipped");
    }
    CHECK(runner.store.updates() == 1);
    CHECK(runner.store.runs() == 4);
  }
}

TEST_CASE("a norm that overflows while every element is finite skips too", "[core][optim][clip]") {
  for (const Transform& clip : {clip_global_norm(1.0), clip_global_norm(1.0, {.norm_type = 3}), clip_norm(1.0)}) {
    Model model(f64);
    Runner runner(training_step(model.loss) | clip | optimize(given::descent(0.1)));
    const Store before = runner.store.clone();
    CHECK(runner.run(given::plain_with(0, 2, 1e300)).scalar("finite") == 0);
    CHECK(given::changed_cells(before, runner.store) == "skipped");
  }
}

TEST_CASE("by the policy propagate the step is taken with what comes out", "[core][optim][clip]") {
  Model model;
  Runner runner(training_step(model.loss) | clip_global_norm(1.0, {.non_finite = NonFinite::propagate}) |
                optimize(given::descent(0.5)));
  const Tensor bias = runner.store.tensor("layer/bias").clone();
  const Result result = runner.run(given::plain_with(0, 2, inf));
  CHECK(result.scalar("finite") == 0);  // what was found is published all the same
  CHECK(result.scalar("skipped") == 0);
  CHECK(runner.store.updates() == 1);
  CHECK(std::isnan(runner.store.tensor("layer/weight").at(2)));  // inf * 0
  CHECK(same_bits(runner.store.tensor("layer/bias"), bias));     // finite * 0
  CHECK(runner.store.tensor("layer/weight").at(3) == runner.store.tensor("layer/weight").at(3));

  Runner values(training_step(model.loss) | clip_value(0.25, NonFinite::propagate) | optimize(given::descent(0.5)));
  const double before = values.store.tensor("layer/weight").at(2);
  values.run(given::plain_with(0, 2, -inf));
  CHECK(values.store.tensor("layer/weight").at(2) == Approx(before + 0.125));  // -inf becomes -0.25, as in PyTorch
}

TEST_CASE("with a loss scale a step that is not finite is skipped even by the policy propagate",
          "[core][optim][clip][loss_scale]") {
  Model model;
  Runner runner(training_step(model.loss) | scale_loss(dynamic_scale()) |
                clip_global_norm(1.0, {.non_finite = NonFinite::propagate}) | optimize(given::descent(0.5)));
  const Store before = runner.store.clone();
  runner.run(given::plain_with(0, 2, inf));
  CHECK(given::changed_cells(before, runner.store) == "loss_scale skipped");
}

TEST_CASE("by the policy fail the run is refused, the parameters are named, and the store stays as it was",
          "[core][optim][clip][errors]") {
  for (const char* kind : {"global", "each", "value"}) {
    Model model;
    // A state of the user's that is updated in place, and does not depend on the gradients.
    const Value seen = model.graph.state("seen", {f32, {5}}, init::zeros());
    model.graph.update(seen, seen + model.c1);
    const Transform clip = kind == std::string("global") ? clip_global_norm(1.0, {.non_finite = NonFinite::fail})
                           : kind == std::string("each") ? clip_norm(1.0, {.non_finite = NonFinite::fail})
                                                         : clip_value(1.0, NonFinite::fail);
    Runner runner(training_step(model.loss) | scale_loss(dynamic_scale()) | clip | optimize(adamw({.rate = 0.1})));
    runner.run(given::plain());
    CHECK(runner.store.tensor("seen").at(1) != 0);
    const Store before = runner.store.clone();
    CHECK_THROWS_WITH(runner.run(given::plain_with(1, 3, NaN)),
                      ContainsSubstring("the norm of the gradients is nan; not finite in 1 of 2: 'layer/bias' (nan)") &&
                          ContainsSubstring("NonFinite::skip") && ContainsSubstring("clip_test.cpp:"));
    CHECK_THROWS_AS(runner.run(given::plain_with(0, 0, -inf)), UserError);
    CHECK(given::changed_cells(before, runner.store) == "");
    CHECK(runner.store.runs() == before.runs());
    CHECK(runner.run(given::plain()).scalar("finite") == 1);  // and the program still runs
  }
}

TEST_CASE("the refusal says what is wrong where no single gradient is", "[core][optim][clip][errors]") {
  Model weighted(f32, true);
  Runner runner(training_step(weighted.loss) | clip_global_norm(1.0, {.non_finite = NonFinite::fail}) |
                optimize(given::descent(0.1)));
  const Lists zeros{std::vector<double>(12), std::vector<double>(5)};
  CHECK_THROWS_AS(runner.run(zeros, 0), UserError);
  runner.run(zeros, 1);

  Graph graph;
  const Value ok = graph.input("ok", boolean, {}), norm = graph.input("norm", f64, {});
  std::vector<Value> parts;
  std::vector<std::string> names;
  std::vector<Tensor> fed;
  for (int i = 0; i < 6; ++i) {
    names.push_back(fmt::format("layer/{}", i));
    parts.push_back(graph.input(fmt::format("part{}", i), f64, {}));
  }
  const Value checked = require_finite(ok, norm, parts, names);
  auto run = [&](bool passes, double total, double part) {
    const Tensor a = Tensor::scalar(passes), b = Tensor::scalar(total), c = Tensor::scalar(part);
    std::vector<Feed> feeds{{"ok", a}, {"norm", b}};
    std::vector<std::string> inputs;
    for (int i = 0; i < 6; ++i) inputs.push_back(fmt::format("part{}", i));
    for (const std::string& input : inputs) feeds.emplace_back(input, c);
    return evaluate(checked, feeds).item();
  };
  CHECK(run(true, NaN, inf) == 1);
  CHECK_THROWS_WITH(
      run(false, inf, inf),
      ContainsSubstring(
          "not finite in 6 of 6: 'layer/0' (inf), 'layer/1' (inf), 'layer/2' (inf), 'layer/3' (inf), ...;"));
  CHECK_THROWS_WITH(run(false, inf, 1e300),
                    ContainsSubstring("the norm of the gradients is inf, while that of each of the 6 is finite"));
  CHECK_THROWS_WITH(run(false, 0, 0), ContainsSubstring("the loss has no mean: its weight is 0"));
}

TEST_CASE("clips of long gradients have the same bits for any number of threads", "[core][optim][clip]") {
  Graph graph;
  const Value c = graph.input("c", f32, {100003});
  const Value w = graph.parameter("w", {f32, {100003}}, init::normal(0, 1));
  Tensor fed(f32, {100003});
  for (std::int64_t i = 0; i < fed.size(); ++i)
    fed.data<float>()[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)));
  for (const double p : {1.0, 2.0, 3.0, inf}) {
    const Step step = training_step(Loss(sum(w * c))) | clip_global_norm(0.5, {.norm_type = p}) | fetch_gradients();
    auto run = [&](int threads) {
      Store store(step);
      Program program(step, store, {.threads = threads});
      return program.run({{"c", fed}}).tensor("gradient/w").clone();
    };
    const Tensor one = run(1);
    CHECK(same_bits(one, run(2)));
    CHECK(same_bits(one, run(3)));
  }
}

TEST_CASE("bad settings of clips and patterns are refused", "[core][optim][clip][errors]") {
  CHECK_THROWS_WITH(clip_global_norm(-1), ContainsSubstring("clip_global_norm needs a positive norm, got -1"));
  CHECK_THROWS_WITH(clip_global_norm(0), ContainsSubstring("clip_global_norm needs a positive norm, got 0"));
  CHECK_THROWS_WITH(clip_norm(NaN), ContainsSubstring("clip_norm needs a positive norm, got nan"));
  CHECK_THROWS_WITH(clip_norm(1, {.norm_type = 0.5}),
                    ContainsSubstring("clip_norm needs a norm_type of at least 1, or infinity, got 0.5"));
  CHECK_THROWS_WITH(clip_global_norm(1, {.norm_type = NaN}),
                    ContainsSubstring("norm_type of at least 1, or infinity, got nan"));
  CHECK_THROWS_WITH(clip_value(0), ContainsSubstring("clip_value needs a positive limit, got 0"));
  CHECK_THROWS_WITH(clip_value(NaN), ContainsSubstring("clip_value needs a positive limit, got nan"));
  Model model;
  model.graph.parameter("unused", {f32, {2}}, init::zeros());
  CHECK_THROWS_WITH(training_step(model.loss) | fetch_gradients("head/**"),
                    ContainsSubstring("the pattern 'head/**' matches no parameter; hint: the first of 2 with a "
                                      "gradient are layer/weight, layer/bias"));
  CHECK_THROWS_WITH(training_step(model.loss) | fetch_gradients("unu*"),
                    ContainsSubstring("'unu*' matches 'unused', which has no gradient: the loss does not reach it"));
}
