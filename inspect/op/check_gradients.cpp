#include <weft/autodiff/gradient.h>
#include <weft/graph/sources.h>
#include <weft/inspect/op/check_gradients.h>
#include <weft/inspect/op/gradient_probe.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/random.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace weft {
namespace {

Constant draw(const TensorType& type, const std::string& name, std::uint64_t seed) {
  Constant constant{type, std::vector<std::byte>(type.bytes())};
  normal_fill(reinterpret_cast<double*>(constant.bytes.data()), type.count(), 0, random_key(seed, name), 0);
  return constant;
}

// The scalar <outputs, cotangents>, its gradient by `values`, and a way to run both at moved points.
class Probe {
 public:
  Probe(const std::vector<Value>& outputs, const std::vector<Value>& values, std::span<const Feed> feeds,
        const GradientCheckOptions& options)
      : store_(outputs.front().graph(), {.seed = options.seed}) {
    Graph graph = outputs.front().graph().clone();
    Value scalar;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Value output = graph.find(outputs[i]);
      WEFT_CHECK(output.dtype() == f64,
                 "check_gradients needs f64 outputs, {} ({}) is {}; hint: build the model in f64", output.name(),
                 str(output.node().where), output.type().str());
      const Value cotangent = graph.constant(draw(output.type(), fmt::format("cotangent {}", i), options.seed));
      const Value term = sum(output * cotangent);
      scalar = scalar.valid() ? scalar + term : term;
    }
    std::vector<Value> by;
    for (const Value& value : values) by.push_back(graph.find(value));
    const std::vector<Value> gradients = gradient(scalar, by, {.allow_unused = true});
    Step step;
    step.graph = graph;
    step.set_fetch("scalar", scalar);
    forward_ = std::make_unique<Program>(step, store_);
    for (std::size_t i = 0; i < by.size(); ++i)
      if (gradients[i].valid()) step.set_fetch(fmt::format("gradient {}", i), gradients[i]);
    Program backward(step, store_);

    for (const Feed& feed : feeds) {
      fed_.push_back(feed.tensor->clone());
      names_.emplace_back(feed.name);
    }
    for (const Value& value : by) points_.push_back(point(value));
    const Result result = backward.run(all_feeds());
    scale_ = std::abs(result.scalar("scalar"));
    for (std::size_t i = 0; i < by.size(); ++i)
      analytic_.push_back(gradients[i].valid() ? result.tensor(fmt::format("gradient {}", i)).clone()
                                               : Tensor(f64, points_[i].extents()));
    store_.set_runs(0);
  }

  GradientProbe view() {
    return {.names = {},
            .points = points_,
            .analytic = analytic_,
            .run =
                [this] {
                  store_.set_runs(0);  // random ops draw the same numbers in every run
                  return forward_->run(all_feeds()).scalar("scalar");
                },
            .scale = scale_};
  }

 private:
  Tensor point(const Value& value) {
    const Node& node = value.node();
    WEFT_CHECK(value.dtype() == f64, "check_gradients needs f64 values, {} ({}) is {}", value.name(),
               str(value.node().where), value.type().str());
    if (node.op == &parameter_op() || node.op == &state_op()) return store_.tensor(node.name);
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (names_[i] == node.name && node.op == &input_op()) return fed_[i];
    WEFT_FAIL("check_gradients differentiates by parameters and fed inputs, {} ({}) is neither", value.name(),
              str(value.node().where));
  }
  std::vector<Feed> all_feeds() const {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < fed_.size(); ++i) feeds.emplace_back(names_[i], fed_[i]);
    return feeds;
  }

  Store store_;
  std::vector<Tensor> fed_;
  std::vector<std::string> names_;
  std::vector<Tensor> points_;
  std::vector<Tensor> analytic_;
  std::unique_ptr<Program> forward_;
  double scale_ = 0;
};

// Slopes on the left and on the right of a point.
struct Sides {
  double left = 0, right = 0;

  double slack(const GradientCheckOptions& options) const {
    return options.atol + options.rtol * std::max(std::abs(left), std::abs(right));
  }
  bool differ(const GradientCheckOptions& options) const { return std::abs(right - left) > 2 * slack(options); }
  /// They differ, and the gradient lies between them: a subgradient, which no differences can confirm.
  bool kink(double analytic, const GradientCheckOptions& options) const {
    return differ(options) && analytic >= std::min(left, right) - slack(options) &&
           analytic <= std::max(left, right) + slack(options);
  }
  std::string str(double analytic) const {
    const bool between = analytic >= std::min(left, right) && analytic <= std::max(left, right);
    return fmt::format(
        "the point is on a kink: the slope is {:.6g} on its left and {:.6g} on its right{}; hint: another seed, or "
        "feeds off the kink",
        left, right, between ? ", and the gradient is between them" : "");
  }
};

void compare_elements(const GradientProbe& probe, std::size_t i, const std::string& name,
                      const GradientCheckOptions& options, GradientCheck& check) {
  Tensor point = probe.points[i];
  double* x = point.data<double>();
  const std::int64_t n = point.size();
  const std::int64_t stride = std::max<std::int64_t>(1, (n + options.most_elements - 1) / options.most_elements);
  std::optional<double> value;
  auto here = [&] { return value ? *value : *(value = probe.run()); };
  for (std::int64_t k = 0; k < n; k += stride) {
    const double at = x[k];
    x[k] = at + options.h;
    const double above = probe.run();
    x[k] = at - options.h;
    const double below = probe.run();
    x[k] = at;
    const double numeric = (above - below) / (2 * options.h);
    const double analytic = probe.analytic[i].data<double>()[k];
    const double error = std::abs(analytic - numeric) / (options.atol + options.rtol * std::abs(numeric));
    ++check.compared;
    check.worst = std::max(check.worst, std::isnan(error) ? std::numeric_limits<double>::infinity() : error);
    if (error <= 1) continue;
    if (!std::isfinite(analytic) || !std::isfinite(numeric)) {
      check.failures.push_back({name, k, analytic, numeric,
                                "is not finite; first_nonfinite(step, store, feeds) names the node where that begins"});
      continue;
    }
    const double noise = 4 * std::numeric_limits<double>::epsilon() * probe.scale / options.h;
    if (std::abs(analytic - numeric) <= noise) {
      const std::string why = fmt::format(
          "the value is {:.3g}, so that differences are only good to {:.3g}; hint: a larger h, or smaller feeds",
          probe.scale, noise);
      check.failures.push_back({name, k, analytic, numeric, why, true});
      continue;
    }
    const Sides sides{(here() - below) / options.h, (above - here()) / options.h};
    const bool kink = sides.kink(analytic, options);
    check.failures.push_back(
        {name, k, analytic, numeric, kink ? sides.str(analytic) : "differs from central differences", kink});
  }
}

// Along a random direction v: e(h) = |(L(x + h v) - L(x - h v)) / 2h - <g, v>|. Rounding alone makes about
// eps |L| / h of it; what is above that must fall as h^2.
void compare_slope(const GradientProbe& probe, std::size_t i, const std::string& name, int direction,
                   const GradientCheckOptions& options, GradientCheck& check) {
  Tensor point = probe.points[i];
  const std::int64_t n = point.size();
  if (n == 0) return;
  const TensorType type{f64, Shape(std::span<const std::int64_t>(point.extents()))};
  const Constant v = draw(type, fmt::format("direction {} {}", i, direction), options.seed + 1);
  const auto* along = reinterpret_cast<const double*>(v.bytes.data());
  const Tensor start = point.clone();
  const double* x0 = start.data<double>();
  double* x = point.data<double>();
  double analytic = 0, magnitude = probe.scale;
  for (std::int64_t k = 0; k < n; ++k) {
    analytic += probe.analytic[i].data<double>()[k] * along[k];
    magnitude += std::abs(probe.analytic[i].data<double>()[k] * along[k]) +
                 std::abs(probe.analytic[i].data<double>()[k] * x0[k]);
  }
  auto value_at = [&](double h) {
    for (std::int64_t k = 0; k < n; ++k) x[k] = x0[k] + h * along[k];
    return probe.run();
  };
  std::vector<double> errors, floors;
  double numeric = 0, nearest = std::numeric_limits<double>::infinity();
  for (int k = 3; k <= 19; ++k) {
    const double h = std::ldexp(1.0, -k);
    const double slope = (value_at(h) - value_at(-h)) / (2 * h);
    errors.push_back(std::abs(slope - analytic));
    floors.push_back(64 * std::numeric_limits<double>::epsilon() * (magnitude + 1) / h);
    if (errors.back() < nearest) {
      nearest = errors.back();
      numeric = slope;
    }
  }
  std::copy(x0, x0 + n, x);
  bool reached = false;
  for (std::size_t k = 0; k < errors.size(); ++k) reached |= errors[k] <= 4 * floors[k];
  if (!reached) {
    const double h = options.h, here = value_at(0), above = value_at(h), below = value_at(-h);
    std::copy(x0, x0 + n, x);
    const Sides sides{(here - below) / h, (above - here) / h};
    // Along a line many kinks add up, and the gradient need not lie between: then the elements tell.
    const auto of_this = [&](const GradientCheck::Failure& failure) {
      return failure.value == name && failure.element >= 0;
    };
    const bool elements =
        std::ranges::any_of(check.failures, of_this) && std::ranges::all_of(check.failures, [&](const auto& failure) {
          return !of_this(failure) || failure.undecided;
        });
    const bool kink = sides.kink(analytic, options) || (elements && sides.differ(options));
    const std::string stops =
        fmt::format("along direction {} the error stops at {:.3g}, above the rounding floor: it does not fall as h^2",
                    direction, nearest);
    check.failures.push_back({name, -1, analytic, numeric, kink ? sides.str(analytic) : stops, kink});
    return;
  }
  // The order over the last steps above the floor, where neither rounding nor far terms rule. An error that then
  // vanishes at once belonged to a kink that the differences no longer straddle: it says nothing about the order.
  std::vector<double> orders;
  std::size_t last = 0;
  for (std::size_t k = 0; k + 1 < errors.size(); ++k)
    if (errors[k] > 64 * floors[k] && errors[k + 1] > 64 * floors[k + 1] && errors[k + 1] > 0) {
      orders.push_back(std::log2(errors[k] / errors[k + 1]));
      last = k + 1;
    }
  if (orders.size() < 3 || (last + 1 < errors.size() && errors[last + 1] < errors[last] / 32)) return;
  std::sort(orders.end() - 3, orders.end());
  const double order = orders[orders.size() - 2];
  check.order = check.order == 0 ? order : std::min(check.order, order);
  if (order < 1.5)
    check.failures.push_back(
        {name, -1, analytic, numeric,
         fmt::format("along direction {} the error falls as h^{:.2f}, expected h^2", direction, order)});
}

}  // namespace

GradientCheck compare_with_differences(const GradientProbe& probe, const GradientCheckOptions& options) {
  WEFT_CHECK(std::isfinite(options.h) && options.h > 0, "finite differences need a step h > 0, got {}", options.h);
  WEFT_CHECK(options.atol >= 0 && options.rtol >= 0, "tolerances are at least 0, got rtol {} and atol {}", options.rtol,
             options.atol);
  WEFT_CHECK(options.most_elements >= 1, "most_elements must be at least 1, got {}", options.most_elements);
  WEFT_CHECK(!options.slope || options.directions >= 1, "the slope test needs at least 1 direction, got {}",
             options.directions);
  GradientCheck check;
  for (std::size_t i = 0; i < probe.points.size(); ++i) {
    compare_elements(probe, i, probe.names[i], options, check);
    for (int direction = 0; options.slope && direction < options.directions; ++direction)
      compare_slope(probe, i, probe.names[i], direction, options, check);
  }
  return check;
}

GradientCheck check_gradients(const std::vector<Value>& outputs, const std::vector<Value>& values,
                              std::span<const Feed> feeds, const GradientCheckOptions& options) {
  WEFT_CHECK(!outputs.empty() && !values.empty(), "check_gradients needs outputs and values to differentiate by");
  outputs.front().graph().check();
  Probe probe(outputs, values, feeds, options);
  GradientProbe view = probe.view();
  for (const Value& value : values) view.names.push_back(value.name());
  return compare_with_differences(view, options);
}

std::string GradientCheck::str() const {
  std::string text =
      fmt::format("{} elements compared, worst error {:.3g} of the tolerance, order {:.2f}: {}", compared, worst, order,
                  passed() ? "passed" : fmt::format("{} failures", failures.size()));
  for (std::size_t i = 0; i < std::min<std::size_t>(failures.size(), 8); ++i)
    text += fmt::format("\n  {}{}: gradient {:.12g}, differences {:.12g}; {}", failures[i].value,
                        failures[i].element < 0 ? "" : fmt::format("[{}]", failures[i].element), failures[i].analytic,
                        failures[i].numeric, failures[i].why);
  return text;
}

}  // namespace weft
