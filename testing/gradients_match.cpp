#include <weft/graph/glob.h>
#include <weft/testing/gradients.h>

#include <weft/autodiff/gradient.h>
#include <weft/graph/nearest.h>
#include <weft/graph/reach.h>
#include <weft/graph/sources.h>
#include <weft/inspect/divergence/compare.h>
#include <weft/inspect/divergence/first_nonfinite.h>
#include <weft/inspect/equivalence/trial.h>
#include <weft/inspect/equivalence/widen.h>
#include <weft/inspect/op/gradient_probe.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/optim/fetch.h>
#include <weft/optim/training_step.h>
#include <weft/runtime/random.h>
#include <weft/testing/local_gradients.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace weft::testing {
namespace {

RunOptions run_options(const GradientsMatchOptions& options) {
  return {options.feeds, options.store, options.seed, options.integers, options.padding};
}

GradientCheckOptions check_options(const GradientsMatchOptions& options) {
  return {.h = options.h,
          .atol = options.atol,
          .rtol = options.rtol,
          .slope = options.slope,
          .directions = options.directions,
          .seed = options.seed,
          .most_elements = options.most_elements};
}

// The step with nothing but these results, which changes no cell.
Step only(const Step& step, std::vector<Fetch> fetches) {
  Step copy = without_results(step);
  copy.fetches = std::move(fetches);
  return copy;
}

// A scalar of a step in f64, what it is differentiated by, and the values that are said to be its gradient.
struct Claimed {
  Step step;
  Value scalar;
  std::vector<Value> by, gradients;  ///< an absent gradient: 0
};

std::string failures_str(const GradientCheck& check, const Claimed& claimed, std::size_t& wrong) {
  std::string text;
  for (const Value& value : claimed.by) {
    int shown = 0;
    for (const GradientCheck::Failure& failure : check.failures) {
      if (failure.value != value.name()) continue;
      if (shown == 0) {
        text += fmt::format("\n  {}", place_str(value));
        ++wrong;
      }
      if (shown++ == 3) break;
      const std::string at =
          failure.element < 0 ? "along a line" : "element " + index_str(failure.element, value.shape().extents());
      text += fmt::format("\n    {}: gradient {:.9g}, expected {:.9g} by differences; {}", at, failure.analytic,
                          failure.numeric, failure.why);
    }
  }
  return text;
}

// Where NaN or infinity begins, in the scalar or in what is said to be its gradient; "" if one run does not show it.
std::string nonfinite_str(const Claimed& claimed, const Store& store, std::span<const Feed> feeds) {
  Step step = only(claimed.step, {});
  step.loss_value = claimed.scalar;
  for (std::size_t i = 0; i < claimed.by.size(); ++i)
    if (claimed.gradients[i].valid()) step.gradients.push_back({claimed.by[i], claimed.gradients[i], {}});
  const auto found = first_nonfinite(step, store, feeds);
  return found ? "\n" + found->str() : "";
}

Outcome compare(const Claimed& claimed, const GradientsMatchOptions& options) {
  if (claimed.by.empty()) {
    std::vector<std::string> names;
    for (const Value& parameter : claimed.step.parameters) names.push_back(parameter.name());
    WEFT_FAIL("GradientsMatch: no trained parameter matches '{}'; hint: the nearest of {} are {}", options.parameters,
              names.size(), nearest(options.parameters, names));
  }
  const RunOptions run = run_options(options);
  NamedTensors tensors = feeds_for(claimed.step.graph, run);
  const std::vector<Feed> feeds = feeds_of(tensors);
  std::vector<Fetch> gradients;
  for (std::size_t i = 0; i < claimed.by.size(); ++i)
    if (claimed.gradients[i].valid()) gradients.push_back({fmt::format("gradient {}", i), claimed.gradients[i]});
  const Step backward = only(claimed.step, gradients), forward = only(claimed.step, {{"scalar", claimed.scalar}});
  Store store = store_for(claimed.step, run);
  const std::int64_t runs = store.runs();
  Program value(forward, store);

  GradientProbe probe;
  std::map<std::string, Tensor> kept;
  if (!gradients.empty()) {
    Program program(backward, store);
    const Result result = program.run(feeds);
    for (const Fetch& fetch : gradients) kept[fetch.name] = result.tensor(fetch.name).clone();
  }
  for (std::size_t i = 0; i < claimed.by.size(); ++i) {
    const std::string name = claimed.by[i].name();
    probe.names.push_back(name);
    if (claimed.by[i].node().op == &input_op()) {
      const auto at = std::ranges::find(tensors, name, &NamedTensors::value_type::first);
      probe.points.push_back(at->second);
    } else {
      probe.points.push_back(store.tensor(name));
    }
    const auto found = kept.find(fmt::format("gradient {}", i));
    probe.analytic.push_back(found != kept.end() ? found->second : Tensor(f64, claimed.by[i].shape().extents()));
  }
  probe.run = [&] {
    store.set_runs(runs);  // random ops draw the same numbers in every run
    return value.run(feeds).scalar("scalar");
  };
  const double scalar = probe.run();
  probe.scale = std::abs(scalar);
  store.set_runs(runs);
  if (!std::isfinite(scalar))
    return {false, fmt::format("the value to differentiate is {}: there are no differences of it{}",
                               std::isnan(scalar) ? "NaN" : "infinite", nonfinite_str(claimed, store, feeds))};
  const GradientCheck check = compare_with_differences(probe, check_options(options));

  const std::string counts = fmt::format("{} elements of {} tensors in f64, largest error {:.3g} of the tolerance",
                                         check.compared, claimed.by.size(), check.worst);
  if (check.passed()) return {true, counts};
  std::size_t wrong = 0;
  const std::string failures = failures_str(check, claimed, wrong);
  std::string text = fmt::format("{} of {} gradients do not match finite differences ({}):{}", wrong, claimed.by.size(),
                                 counts, failures);
  store.set_runs(runs);
  const auto finite = [](const GradientCheck::Failure& failure) {
    return std::isfinite(failure.analytic) && std::isfinite(failure.numeric);
  };
  if (!std::ranges::all_of(check.failures, finite)) return {false, text + nonfinite_str(claimed, store, feeds)};
  if (!options.blame) return {false, text};
  std::vector<Value> failing;
  for (const Value& value : claimed.by)
    if (std::ranges::find(check.failures, value.name(), &GradientCheck::Failure::value) != check.failures.end())
      failing.push_back(value);
  return {false,
          text + "\n" + wrong_backwards(claimed.step, claimed.scalar, failing, feeds, store, check_options(options))};
}

}  // namespace

Outcome gradients_match(const Step& step, const GradientsMatchOptions& options) {
  step.graph.check();
  WEFT_CHECK(!step.gradients.empty(), "GradientsMatch: the step has no gradients; hint: training_step(loss)");
  WEFT_CHECK(
      !step.due.valid(),
      "GradientsMatch: one run of a step that accumulates over runs does not have the gradient of its loss; hint: "
      "match the step before accumulate_over_runs");
  check_feeds(step.graph, options.feeds);  // complains of the step's own types
  const Step seen = observed(step);
  Claimed claimed{.step = has_narrow_types(seen) ? widen(seen) : seen, .scalar = {}, .by = {}, .gradients = {}};
  claimed.scalar = claimed.step.has_fetch("loss") ? claimed.step.fetch("loss") : claimed.step.loss_value;
  // A parameter that the loss does not reach has the gradient 0, if that is true.
  for (const Value& parameter : claimed.step.parameters) {
    if (!matches(options.parameters, parameter.name())) continue;
    const Gradient* gradient = claimed.step.gradient_of(parameter);
    claimed.by.push_back(parameter);
    claimed.gradients.push_back(gradient != nullptr ? gradient->value : Value{});
  }
  return compare(claimed, options);
}

Outcome gradients_match(const Loss& loss, const GradientsMatchOptions& options) {
  return gradients_match(training_step(loss), options);
}

Outcome gradients_match(const Value& value, const GradientsMatchOptions& options) {
  WEFT_CHECK(!value.absent(), "GradientsMatch: there is no value to differentiate");
  value.graph().check();
  WEFT_CHECK(is_float(value.dtype()), "GradientsMatch differentiates floating values, {} is not", place_str(value));
  check_feeds(value.graph(), options.feeds);  // complains of the graph's own types
  const Step fetched = fetching({value});
  Step step = has_narrow_types(fetched) ? widen(fetched) : fetched;
  step = step.over(step.graph.clone());
  Graph graph = step.graph;
  const Value output = step.find(value);
  Claimed claimed;
  const NodeSet read = ancestors(graph, {output});
  for (const Value& parameter : graph.parameters())
    if (matches(options.parameters, parameter.name()) && read.contains(parameter.ref().node))
      claimed.by.push_back(parameter);
  for (const Value& input : graph.inputs())
    if (is_float(input.dtype()) && read.contains(input.ref().node)) claimed.by.push_back(input);
  WEFT_CHECK(!claimed.by.empty(), "GradientsMatch: {} depends on no parameter of '{}' and no floating input",
             place_str(value), options.parameters);

  Constant cotangent{output.type(), std::vector<std::byte>(output.type().bytes())};
  normal_fill(reinterpret_cast<double*>(cotangent.bytes.data()), output.type().count(), 0,
              random_key(options.seed, "cotangent"), 0);
  const Value factor = graph.constant(std::move(cotangent));
  claimed.scalar = sum(output * factor);
  claimed.gradients = gradient(claimed.scalar, claimed.by, {.allow_unused = true});
  claimed.step = step;
  return compare(claimed, options);
}

}  // namespace weft::testing
