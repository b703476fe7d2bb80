// Models that are broken in the ways in which people break them: the audit, the gradient report, a matcher or an error
// finds each and names the place; the same models in health pass all of them.
#include <gradient_flow/models.h>
#include <support/catch.h>

#include <weft/inspect/gradients/gradient_report.h>
#include <weft/inspect/gradients/tap_gradients.h>
#include <weft/testing/gradients.h>
#include <weft/testing/steps.h>

#include <algorithm>
#include <cmath>

using namespace weft;
using test::Built;

namespace {

// What a model is run on: the same numbers for all.
testing::RunOptions run_options() {
  testing::RunOptions options{.seed = 1};
  for (const char* name : {"x", "target"}) {
    Tensor tensor(f32, {test::batch_size, test::time_size, test::width_size});
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data<float>()[i] = static_cast<float>(std::sin(0.7 * static_cast<double>(i * i) + (*name == 'x' ? 0 : 1)));
    options.feeds.emplace_back(name, tensor);
  }
  return options;
}

GradientReport report_of(const Step& step) {
  const Step watched = step | tap_gradients();
  const testing::RunOptions options = run_options();
  Store store = testing::store_for(watched, options);
  Program program(watched, store);
  std::vector<Feed> feeds;
  for (const auto& [name, tensor] : options.feeds) feeds.push_back({name, tensor});
  return gradient_report(program.run(feeds), watched);
}

// Everything that this library has against broken gradients finds nothing.
void expect_healthy(const Built& built) {
  const Audit read = audit(built.step);
  INFO(read);
  CHECK(read.healthy());
  CHECK(read.complete());
  const GradientReport report = report_of(built.step);
  INFO(report);
  CHECK(report.healthy());
  CHECK(testing::gradients_flow(built.step, 1e-8, run_options()));
  CHECK(testing::all_finite(built.step, run_options()));
}

struct Read {
  const char* name;
  test::Builder build;
  Finding::Kind kind;
  Finding::Severity severity;
  std::vector<std::string> parameters;  ///< those whose way ends there
  bool also = false;                    ///< there is another finding, which is an error
};

}  // namespace

TEST_CASE("the audit finds what is cut, mixed, unused or built twice, and names the line", "[core][gradient_flow]") {
  using Kind = Finding::Kind;
  using Severity = Finding::Severity;
  const std::vector<std::string> in{"in/weight", "in/bias"}, gate{"gate/weight", "gate/bias"};
  const std::vector<Read> models{
      {"frozen block", test::frozen_block, Kind::stop_gradient, Severity::error, {}},
      {"detached residual", test::detached_residual, Kind::stop_gradient, Severity::warning, in},
      {"rounded hidden", test::rounded_hidden, Kind::integer, Severity::error, in},
      {"hard gate", test::hard_gate, Kind::comparison, Severity::error, gate},
      {"hard routing", test::hard_routing, Kind::integer, Severity::error, {"router/weight", "router/bias"}},
      {"times zero", test::times_zero, Kind::zero_jacobian, Severity::error, {"branch/weight", "branch/bias"}},
      {"softmax over one",
       test::softmax_over_one,
       Kind::zero_jacobian,
       Severity::error,
       {"score/weight", "score/bias"}},
      {"forgotten layer", test::forgotten_layer, Kind::unused_parameter, Severity::error, {"second/weight"}},
      {"forgotten result", test::forgotten_layer, Kind::unused_output, Severity::warning, {}, true},
      {"mixing reshape", test::mixing_reshape, Kind::batch_mixed, Severity::error, {}},
      {"broadcast loss", test::broadcast_loss, Kind::batch_mixed, Severity::warning, {}},
      {"norm over batch", test::norm_over_batch, Kind::batch_mixed, Severity::note, {}},
      {"layer run twice", test::layer_run_twice, Kind::duplicate, Severity::note, {}}};
  for (const Read& model : models) {
    DYNAMIC_SECTION(model.name) {
      const Built broken = model.build(true);
      const Audit read = audit(broken.step);
      INFO(read);
      const std::vector<Finding> found = read.of(model.kind);
      const auto at = std::ranges::find(found, broken.where, &Finding::where);
      REQUIRE(at != found.end());
      CHECK(at->severity == model.severity);
      CHECK(read.healthy() == (model.severity != Severity::error && !model.also));
      for (const std::string& parameter : model.parameters)
        CHECK(std::ranges::find(at->parameters, parameter) != at->parameters.end());

      const Built healthy = model.build(false);
      expect_healthy(healthy);
      for (const Finding& finding : audit(healthy.step).of(model.kind)) {
        INFO(finding.str());
        CHECK((finding.where != healthy.where || finding.severity < model.severity));
      }
    }
  }
}

TEST_CASE("what cannot be trained at all is refused with the place", "[core][gradient_flow]") {
  CHECK_THROWS_WITH(test::detached_head(true), ContainsSubstring("floor") && ContainsSubstring("models.cpp:"));
  CHECK_THROWS_WITH(test::parameter_twice(true),
                    ContainsSubstring("layer/0/weight (models.cpp:") &&
                        ContainsSubstring("the name 'layer/0/weight' is taken: first used at models.cpp:"));
  CHECK_THROWS_WITH(test::parameter_without_group(true),
                    ContainsSubstring("no optimizer claims 2 of 4 parameters: head/weight, head/bias"));
  expect_healthy(test::detached_head(false));
  expect_healthy(test::parameter_twice(false));
  expect_healthy(test::parameter_without_group(false));
}

TEST_CASE("the gradient report finds what is dead, saturated, vanishing, exploding or lost in f16",
          "[core][gradient_flow]") {
  struct Run {
    const char* name;
    test::Builder build;
    Verdict::Kind kind;
    const char* path;  ///< the verdict's begins with it
    bool line;         ///< and names the model's line
  };
  const std::vector<Run> models{
      {"dead ReLUs", test::dead_relus, Verdict::Kind::dead_units, "relu", true},
      {"saturated softmax", test::saturated_softmax, Verdict::Kind::saturated, "attention", true},
      {"no norm at depth 48", test::no_norm_at_depth_48, Verdict::Kind::exploding, "block/", false},
      {"deep sigmoids", test::deep_sigmoids, Verdict::Kind::vanishing, "layer/", false},
      {"large weights", test::large_weights, Verdict::Kind::exploding, "in", false},
      {"f16 underflow", test::f16_underflow, Verdict::Kind::f16_underflow, "out/linear/cast", false}};
  for (const Run& model : models) {
    DYNAMIC_SECTION(model.name) {
      const Built broken = model.build(true);
      const GradientReport report = report_of(broken.step);
      INFO(report);
      const std::vector<Verdict> found = report.of(model.kind);
      REQUIRE_FALSE(found.empty());
      CHECK(std::ranges::any_of(found, [&](const Verdict& verdict) {
        return verdict.path.starts_with(model.path) && (!model.line || verdict.where == broken.where);
      }));
      CHECK(audit(broken.step).complete());  // nothing is wrong with the graph
      expect_healthy(model.build(false));
    }
  }
}

TEST_CASE("the matchers find gradients that do not arrive or are not finite, and name the node",
          "[core][gradient_flow]") {
  const auto expect = [](test::Builder build, testing::Outcome (*check)(const Step&),
                         const std::vector<std::string>& words) {
    const Built broken = build(true);
    const testing::Outcome found = check(broken.step);
    INFO(found.text);
    CHECK_FALSE(found.passed);
    CHECK_THAT(found.text, ContainsSubstring(broken.where));
    for (const std::string& word : words) CHECK_THAT(found.text, ContainsSubstring(word));
    expect_healthy(build(false));
  };
  const auto flow = [](const Step& step) { return testing::gradients_flow(step, 1e-8, run_options()); };
  const auto finite = [](const Step& step) { return testing::all_finite(step, run_options()); };
  SECTION("two zero factors") { expect(test::two_zero_factors, flow, {"adapter/down", "adapter/up"}); }
  SECTION("masked out") { expect(test::masked_out, flow, {"query/weight", "key/weight"}); }
  SECTION("norm of nothing") { expect(test::norm_of_nothing, finite, {"sqrt"}); }
  SECTION("log of softmax") { expect(test::log_of_softmax, finite, {"log"}); }
}
