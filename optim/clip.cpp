#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/step/guard.h>
#include <weft/optim/clip.h>
#include <weft/optim/facts.h>
#include <weft/optim/gradient_norm.h>
#include <weft/optim/unscale_and_check.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace weft {
namespace {

constexpr double epsilon = 1e-6;  // PyTorch's, against a division by 0

Value factor_for(double max_norm, const Value& norm) { return minimum(divide(max_norm, add(norm, epsilon)), 1.0); }

// The plain definition of the factor.
double factor_for(double max_norm, double norm) {
  const double factor = max_norm / (norm + epsilon);
  return factor > 1 ? 1 : factor;  // NaN stays NaN
}

// The plain definition of a p-norm.
double norm_of(const std::vector<double>& values, double p) {
  double sum = 0;
  for (const double value : values) {
    const double size = std::abs(value);
    if (std::isinf(p)) sum = size > sum || std::isnan(size) ? size : sum;
    else sum += std::pow(size, p);
  }
  return std::isinf(p) ? sum : std::pow(sum, 1 / p);
}

// Whether the step is taken, by the policy. `usable`: whether what this clip measured is finite.
void decide(Step& step, const std::string& name, const GradientNorm& norm, const Value& usable, NonFinite policy) {
  Value found = logical_and(step.fetch("finite"), usable);  // published, whatever the policy
  const Value taken = logical_and(step.taken, usable);
  if (policy == NonFinite::skip) {
    step.taken = taken;
  } else if (policy == NonFinite::propagate) {
    if (!step.loss_scale) step.taken = step.due.valid() ? step.due : ones(step.graph, {}, boolean);
  } else {
    const auto origin = step.graph.made_by(name, no_node);
    std::vector<std::string> paths;
    for (const Gradient& gradient : step.gradients) paths.push_back(gradient.parameter.node().name);
    const Value ok = step.due.valid() ? logical_or(taken, logical_not(step.due)) : taken;
    const Value passed = require_finite(ok, norm.total, norm.parts, paths);
    found = logical_and(found, passed);
    step.taken = logical_and(taken, passed);
  }
  step.set_fetch("finite", found);
}

void replace_gradients(Step& step, const std::string& name,
                       const std::function<Value(std::size_t, const Value&)>& make) {
  for (std::size_t i = 0; i < step.gradients.size(); ++i) {
    Gradient& gradient = step.gradients[i];
    const auto origin = step.graph.made_by(name, gradient.value.ref().node);
    gradient.value = make(i, gradient.value);
    gradient.tags.clipped = true;
  }
}

// What all clips share: they come after unscale_and_check, run once a step, and lie under their name.
Transform clip(std::string name, std::string change, GradientLaw law, std::function<void(Step&, bool first)> body) {
  Transform transform{.name = name,
                      .claim = Claim::changes_meaning,
                      .needs = {fact::gradients},
                      .forbids = {fact::optimized},
                      .promises = {fact::unscaled, fact::clipped},
                      .apply = {}};
  transform.change = std::move(change);
  transform.law = std::move(law);
  transform.apply = [name = std::move(name), body = std::move(body)](Step step) {
    unscale_and_check(step);
    const auto scope = step.graph.scope(name);
    const auto phase = step.graph.phase(Phase::step);
    body(step, !step.facts.contains(fact::clipped));
    return step;
  };
  return transform;
}

void expect_norm(const std::string& name, double max_norm, double p) {
  WEFT_CHECK(max_norm > 0, "{} needs a positive norm, got {}", name, max_norm);
  WEFT_CHECK(p >= 1, "{} needs a norm_type of at least 1, or infinity, got {}", name, p);
}

}  // namespace

Transform clip_global_norm(double max_norm, const ClipOptions& options, std::source_location where) {
  const UserLine line(where);
  const std::string name = "clip_global_norm";
  const double p = options.norm_type;
  expect_norm(name, max_norm, p);
  auto law = [max_norm, p](GradientTable gradients) {
    std::vector<double> norms;
    for (const auto& [path, values] : gradients) norms.push_back(norm_of(values, p));
    const double factor = factor_for(max_norm, norm_of(norms, p));
    for (auto& [path, values] : gradients)
      for (double& value : values) value *= factor;
    return gradients;
  };
  auto body = [name, max_norm, p, policy = options.non_finite](Step& step, bool first) {
    const GradientNorm norm = gradient_norm(step, p, name);
    const auto origin = step.graph.made_by(name, no_node);
    if (!first || p != 2)
      step.set_fetch((first ? "grad_norm" : "clipped_norm") + (p == 2 ? "" : "/" + norm_name(p)), norm.total);
    decide(step, name, norm, isfinite(norm.total), policy);
    const Value factor = factor_for(max_norm, norm.total);
    replace_gradients(step, name, [&](std::size_t, const Value& g) { return multiply(g, cast(factor, g.dtype())); });
  };
  return clip(name,
              fmt::format("multiplies all gradients by min(1, {} / (n + 1e-6)), n = their {}-norm together", max_norm,
                          norm_name(p)),
              law, body);
}

Transform clip_norm(double max_norm, const ClipOptions& options, std::source_location where) {
  const UserLine line(where);
  const std::string name = "clip_norm";
  const double p = options.norm_type;
  expect_norm(name, max_norm, p);
  auto law = [max_norm, p](GradientTable gradients) {
    for (auto& [path, values] : gradients) {
      const double factor = factor_for(max_norm, norm_of(values, p));
      for (double& value : values) value *= factor;
    }
    return gradients;
  };
  auto body = [name, max_norm, p, policy = options.non_finite](Step& step, bool) {
    const GradientNorm norm = gradient_norm(step, p, name);
    {
      const auto origin = step.graph.made_by(name, no_node);
      decide(step, name, norm, norm.all_norms_finite(), policy);
    }
    replace_gradients(step, name, [&](std::size_t i, const Value& g) {
      return multiply(g, cast(factor_for(max_norm, norm.of(i)), g.dtype()));
    });
  };
  return clip(
      name,
      fmt::format("multiplies each gradient by min(1, {} / (n + 1e-6)), n = its own {}-norm", max_norm, norm_name(p)),
      law, body);
}

Transform clip_value(double limit, NonFinite non_finite, std::source_location where) {
  const UserLine line(where);
  const std::string name = "clip_value";
  WEFT_CHECK(limit > 0, "{} needs a positive limit, got {}", name, limit);
  auto law = [limit](GradientTable gradients) {
    for (auto& [path, values] : gradients)
      for (double& value : values)
        if (!std::isnan(value)) value = std::clamp(value, -limit, limit);
    return gradients;
  };
  auto body = [name, limit, non_finite](Step& step, bool) {
    const GradientNorm norm = gradient_norm(step, 2, name);
    {
      const auto origin = step.graph.made_by(name, no_node);
      decide(step, name, norm, norm.all_elements_finite(step), non_finite);
    }
    replace_gradients(step, name, [&](std::size_t, const Value& g) { return clamp(g, {.min = -limit, .max = limit}); });
  };
  return clip(name, fmt::format("clamps every element of the gradients to [-{}, {}]", limit, limit), law, body);
}

}  // namespace weft
