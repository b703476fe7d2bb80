#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/facts.h>
#include <weft/optim/loss_scale.h>
#include <weft/optim/seeds.h>

#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>

namespace weft {
namespace {

constexpr const char* pass = "scale_loss";

// The scale multiplies f32 cotangents, so it is a float wherever it is kept.
double as_float(double scale) {
  return scale > std::numeric_limits<float>::max() ? std::numeric_limits<double>::infinity()
                                                   : static_cast<double>(static_cast<float>(scale));
}
Value as_float(const Value& scale) { return cast(cast(scale, f32), f64); }
bool is_scale(double scale) { return as_float(scale) > 0 && std::isfinite(as_float(scale)); }

void expect_wide(const Step& step) {
  for (const LossTerm& term : step.loss.terms)
    WEFT_CHECK(
        term.sum.dtype() == f32 || term.sum.dtype() == f64,
        "scale_loss needs a loss in f32 or f64, {} ({}) is {}: scaled it would overflow; hint: cast the logits to f32 "
        "before the loss, or keep the model in f32 and use mixed_precision(f16)",
        term.sum.name(), str(term.sum.node().where), term.sum.type().str());
  for (const Gradient& gradient : step.gradients)
    WEFT_CHECK(
        gradient.value.dtype() != f16,
        "scale_loss cannot help {} ({}), which is {}: its gradient would be unscaled into f16 and vanish there again; "
        "hint: parameters in f32 and mixed_precision(f16)",
        gradient.parameter.name(), str(gradient.parameter.node().where), gradient.parameter.type().str());
}

// What is published or kept must not change because the backward pass does.
void expect_unread(const Step& step) {
  std::unordered_set<NodeId> scaled;
  for (const Value& seed : step.seeds) scaled.insert(seed.ref().node);
  for (const NodeId id : step.graph.ids())
    for (const ValueRef& ref : step.graph.node(id).operands)
      if (ref.node != no_node && scaled.contains(ref.node)) scaled.insert(id);
  const char* hint = "hint: scale_loss(...) | fetch_gradients(), or build it after scale_loss";
  for (const Fetch& fetch : step.fetches)
    WEFT_CHECK(!scaled.contains(fetch.value.ref().node),
               "the fetch '{}' reads {} of the backward pass, which scale_loss would change; {}", fetch.name,
               fetch.value.name(), hint);
  if (step.due.valid()) return;  // sums over runs carry the scale: it changes only when they start anew
  for (const Update& update : step.updates)
    WEFT_CHECK(!scaled.contains(update.value.ref().node),
               "the update of {} reads {} of the backward pass, which scale_loss would change; {}", update.state.name(),
               update.value.name(), hint);
}

void expect_free(const Graph& graph, const std::string& path) {
  const Value taken = graph.find_name(path);
  WEFT_CHECK(!taken.valid(),
             "scale_loss keeps its state as '{}', and that name is taken at {}; hint: another name there", path,
             str(taken.node().where));
}

}  // namespace

LossScaling static_scale(double scale, std::source_location line) {
  const UserLine told(line);
  WEFT_CHECK(is_scale(scale), "static_scale needs a positive, finite number, got {}", scale);
  return {as_float(scale), std::nullopt};
}

LossScaling dynamic_scale(const ScaleRule& rule, std::source_location line) {
  const UserLine told(line);
  WEFT_CHECK(is_scale(rule.start), "dynamic_scale needs a positive, finite start, got {}", rule.start);
  WEFT_CHECK(is_scale(rule.least), "dynamic_scale needs a positive, finite least scale, got {}", rule.least);
  WEFT_CHECK(rule.greatest >= rule.least, "dynamic_scale needs least <= greatest, got least {} and greatest {}",
             rule.least, rule.greatest);
  WEFT_CHECK(rule.least <= rule.start && rule.start <= rule.greatest,
             "dynamic_scale needs a start from least to greatest, got start {}, least {} and greatest {}", rule.start,
             rule.least, rule.greatest);
  WEFT_CHECK(rule.growth > 1 && std::isfinite(rule.growth), "dynamic_scale needs a growth above 1, got {}",
             rule.growth);
  WEFT_CHECK(rule.backoff > 0 && rule.backoff < 1, "dynamic_scale needs a backoff between 0 and 1, got {}",
             rule.backoff);
  WEFT_CHECK(rule.window >= 1, "dynamic_scale needs a window of at least 1 step, got {}", rule.window);
  return {as_float(rule.start), rule};
}

Transform scale_loss(const LossScaling& scaling, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(is_scale(scaling.start), "scale_loss needs a positive, finite scale, got {}", scaling.start);
  return {.name = pass,
          .claim = Claim::rounding,
          .needs = {fact::gradients},
          .forbids = {fact::scaled, fact::unscaled, fact::checkpointed},
          .promises = {fact::scaled},
          .apply = [scaling](const Step& step) {
            expect_wide(step);
            expect_unread(step);
            LossScale made;
            auto prepare = [&](Graph graph) {
              const auto phase = graph.phase(Phase::step);
              if (!scaling.rule) {
                const auto scope = graph.scope(pass);
                made.scale = full(graph, {}, f64, scaling.start);
                return;
              }
              expect_free(step.graph, "loss_scale");
              expect_free(step.graph, "loss_scale/tracker");
              made.rule = *scaling.rule;
              made.scale = graph.state("loss_scale", {f64, {}}, init::constant(scaling.start));
              made.tracker = graph.state("loss_scale/tracker", {i64, {}}, init::zeros());
            };
            auto scale = [&](std::size_t, const Value& seed) { return multiply(seed, cast(made.scale, seed.dtype())); };
            Step result = replace_seeds(step, pass, scale, prepare);
            result.loss_scale = made;
            for (Gradient& gradient : result.gradients) gradient.tags.scaled = true;
            result.set_fetch("loss_scale", made.scale);
            return result;
          }};
}

void update_loss_scale(Step& step, const Value& finite, const Value& counted) {
  if (!step.loss_scale || !step.loss_scale->tracker.valid()) return;
  const auto& [scale, tracker, rule] = *step.loss_scale;
  const auto scope = step.graph.scope("loss_scale");
  const Value smaller = maximum(as_float(multiply(scale, rule.backoff)), as_float(rule.least));
  const Value larger = as_float(multiply(scale, rule.growth));
  const Value bounded = where(isfinite(larger), minimum(larger, as_float(rule.greatest)), scale);
  const Value clean = add(tracker, 1);
  const Value grows = equal(clean, rule.window);
  Value next = where(finite, where(grows, bounded, scale), smaller);
  Value next_tracker = where(logical_and(finite, logical_not(grows)), clean, zeros_like(tracker));
  if (counted.valid()) {
    next = where(counted, next, scale);
    next_tracker = where(counted, next_tracker, tracker);
  }
  if (step.due.valid()) {  // an accumulation over runs is judged, and the scale changed, when it ends
    next = where(step.due, next, scale);
    next_tracker = where(step.due, next_tracker, tracker);
  }
  step.updates.push_back({scale, next});
  step.updates.push_back({tracker, next_tracker});
}

}  // namespace weft
