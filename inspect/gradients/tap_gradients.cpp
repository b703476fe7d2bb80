#include <weft/inspect/gradients/tap_gradients.h>

#include <weft/graph/taps.h>
#include <weft/inspect/gradients/arrivals.h>
#include <weft/inspect/gradients/cotangents.h>
#include <weft/inspect/gradients/forward_values.h>
#include <weft/inspect/gradients/parameter_use.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/summary.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/step/micro.h>
#include <weft/optim/facts.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>

namespace weft {
namespace {

constexpr const char* pass = "tap_gradients";
const double lost_below = std::ldexp(1.0, -25), subnormal_below = std::ldexp(1.0, -14);

Value wide(const Value& x) { return size_of(x.dtype()) < size_of(f32) ? cast(x, f32) : x; }

// The sum over all elements, f64: over the last axis in x's type, which stays exact for counts, then in double.
Value total(const Value& x) {
  if (x.rank() == 0) return cast(x, f64);
  return sum(cast(sum(x, {.axes = {-1}}), f64));
}
Value count(const Value& condition) { return total(cast(condition, f32)); }

std::vector<std::int64_t> all_but_last(const Value& x) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(x.rank() - 1));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// The taps of one step.
class Taps {
 public:
  Taps(Step& step, const GradientTapOptions& options) : step_(step), options_(options), forward_(step) {}

  void add() {
    const std::vector<Gradient> gradients = step_.gradients;
    publish_factor();
    for (const Gradient& gradient : gradients) of_gradient(gradient);
    for (const Update& update : step_.updates) of_update(update);
    if (!options_.blocks && !options_.units) return;
    const std::vector<BlockRim> rims = options_.blocks ? block_rims(step_, forward_) : std::vector<BlockRim>{};
    std::vector<Passage> units, rows;
    if (options_.units) {
      units = unit_passages(step_, forward_);
      rows = row_passages(step_, forward_);
    }
    std::vector<Value> values;
    for (const BlockRim& rim : rims) {
      values.insert(values.end(), rim.reads.begin(), rim.reads.end());
      values.insert(values.end(), rim.gives.begin(), rim.gives.end());
    }
    for (const std::vector<Passage>* passages : {&units, &rows})
      for (const Passage& passage : *passages) {
        values.push_back(step_.graph.value(operand_of(passage)));
        values.push_back(step_.graph.value(passage.node));
      }
    cotangents_ = find_cotangents(step_, values);
    for (const BlockRim& rim : rims) of_block(rim);
    for (const Passage& passage : units) of_units(passage);
    for (const Passage& passage : rows) of_rows(passage);
  }

 private:
  ValueRef operand_of(const Passage& passage) const { return step_.graph.node(passage.node).operands[passage.operand]; }
  void publish(const std::string& name, const std::vector<Value>& scalars) {
    add_tap(step_, "flow/" + name, stack(scalars, 0));
  }

  // 1 / (loss scale * weight of the loss), f64, of those that the cotangents or a gradient carry; absent: 1.
  Value factor(bool scaled, bool weighted) {
    Value& made = factors_[{scaled, weighted}];
    if (made.valid() || (!scaled && !weighted)) return made;
    Value divisor = scaled ? step_.loss_scale->scale : Value{};
    if (weighted) {
      const Value weight = cast(step_.gradient_weight, f64);
      divisor = divisor.valid() ? multiply(divisor, weight) : weight;
    }
    return made = divide(1.0, divisor);
  }
  Value whole_factor() { return factor(step_.loss_scale.has_value(), step_.gradient_weight.valid()); }

  void publish_factor() {
    const TapScope scope(step_.graph, "flow/factor", pass, no_node);
    const auto phase = step_.graph.phase(Phase::step);
    const Value made = whole_factor();
    add_tap(step_, "flow/factor", made.valid() ? made : full(step_.graph, {}, f64, 1));
    if (options_.f16) f16_bounds_ = f16_bounds();
  }

  void of_gradient(const Gradient& gradient) {
    const std::string& path = gradient.parameter.node().name;
    const TapScope scope(step_.graph, "flow/" + path, pass, gradient.value.ref().node);
    const auto phase = step_.graph.phase(Phase::step);
    Value g = gradient.value;
    if (g.shape().count() == 0) return;
    if (const Value clean = factor(gradient.tags.scaled, !gradient.tags.weight_normalised); clean.valid())
      g = multiply(g, cast(clean, g.dtype()));
    add_tap(step_, "flow/gradient/" + path, summary(g));
    if (options_.f16) add_tap(step_, "flow/f16/" + path, count_within(g, f16_bounds_));
    if (auto [terms, rounding] = arriving(step_, gradient.value); terms.valid()) {
      if (const Value clean = factor(gradient.tags.scaled, !gradient.tags.weight_normalised); clean.valid())
        terms = multiply(terms, abs(clean));
      publish("arrives/" + path, {terms, full(step_.graph, {}, f64, rounding)});
    }
    if (const ParameterUse use = use_of(step_, forward_, gradient.parameter); g.rank() == 2 && use.unit_axis) {
      const auto units = static_cast<double>(g.shape().extent(*use.unit_axis));
      publish("rows/" + path, {count(equal(max(abs(wide(g)), {.axes = {1 - *use.unit_axis}}), 0.0)),
                               full(step_.graph, {}, f64, units)});
    }
  }

  // Of |g|, for count_within: what f16 rounds to 0 and what it keeps with fewer digits at the scale in use, then at
  // each of f16_scales. What flows is |g| times the scale in use, so its bounds are over that.
  Value f16_bounds() {
    std::vector<double> in_use{lost_below, std::nextafter(subnormal_below, 0.0)}, at_scales;
    for (const double scale : f16_scales) at_scales.push_back(lost_below / scale);
    Value first = numbers(in_use);
    if (const Value factor = whole_factor(); factor.valid()) first = first * factor;
    return concatenate({first, numbers(at_scales)}, 0);
  }
  Value numbers(const std::vector<double>& values) {
    Constant constant{{f64, {static_cast<std::int64_t>(values.size())}},
                      std::vector<std::byte>(values.size() * sizeof(double))};
    std::memcpy(constant.bytes.data(), values.data(), constant.bytes.size());
    return step_.graph.constant(std::move(constant));
  }

  void of_update(const Update& update) {
    if (std::ranges::find(step_.parameters, update.state) == step_.parameters.end() ||
        update.value.shape().count() == 0)
      return;
    const TapScope scope(step_.graph, "flow/" + update.state.name(), pass, update.value.ref().node);
    const auto phase = step_.graph.phase(Phase::step);
    publish("update/" + update.state.name(),
            {sum_squares(update.state), sum_squares(wide(update.value) - wide(update.state))});
  }

  // Of the whole batch, from what `make` gives for one micro-batch. A cotangent that is the same for all of them counts
  // once.
  Value of_batch(const Value& cotangent, const std::function<Value()>& make) {
    const bool once = step_.micro_batches == 1 || cotangent.node().phase == Phase::step;
    Value part;
    {
      const auto phase = step_.graph.phase(once ? Phase::step : Phase::micro);
      part = make();
    }
    const auto phase = step_.graph.phase(Phase::step);
    return once ? part : accumulate_sum(part);
  }
  Value squares(const std::vector<Value>& values) {
    Value sum;
    for (const Value& value : values) {
      const auto at = cotangents_.find(value.ref());
      if (at == cotangents_.end()) return {};
      const Value part = of_batch(at->second, [&] { return sum_squares(at->second); });
      const auto phase = step_.graph.phase(Phase::step);
      sum = sum.valid() ? sum + part : part;
    }
    return sum;
  }

  void of_block(const BlockRim& rim) {
    const TapScope scope(step_.graph, "flow/" + (rim.name.empty() ? "top" : rim.name), pass, no_node);
    const Value reads = squares(rim.reads), gives = squares(rim.gives);
    if (!gives.valid()) return;
    const auto phase = step_.graph.phase(Phase::step);
    const Value none = full(step_.graph, {}, f64, -1);
    publish("block/" + rim.name, {reads.valid() ? reads : none, gives});
  }

  const Value* cotangent(ValueRef ref) const {
    const auto at = cotangents_.find(ref);
    return at == cotangents_.end() ? nullptr : &at->second;
  }

  void of_units(const Passage& passage) {
    const Value *in = cotangent(operand_of(passage)), *out = cotangent({passage.node, 0});
    if (in == nullptr || out == nullptr || *in == *out) return;
    const std::string path = step_.graph.node(passage.node).name;
    const TapScope scope(step_.graph, "flow/" + path, pass, passage.node);
    auto per_unit = [&](const Value& d) {  // how often something is not 0, by unit
      return of_batch(d, [&] { return sum(cast(not_equal(d, 0.0), f32), {.axes = all_but_last(d)}); });
    };
    const Value through = per_unit(*in), arrives = per_unit(*out);
    const auto phase = step_.graph.phase(Phase::step);
    const Value any = greater(arrives, 0.0);
    publish("units/" + path, {count(logical_and(equal(through, 0.0), any)), count(any)});
  }

  void of_rows(const Passage& passage) {
    const Value *in = cotangent(operand_of(passage)), *out = cotangent({passage.node, 0});
    if (in == nullptr || out == nullptr || *in == *out) return;
    const std::string path = fmt::format("{}/{}", step_.graph.node(passage.node).name, passage.operand);
    const TapScope scope(step_.graph, "flow/" + path, pass, passage.node);
    auto per_row = [](const Value& d) { return sum(abs(wide(d)), {.axes = {-1}}); };
    const Value rows = of_batch(*in, [&] { return count(greater(per_row(*out), 0.0)); });
    const Value closed = of_batch(*in, [&] {
      const Value through = cast(per_row(*in), f64), arrives = cast(per_row(*out), f64);
      return count(logical_and(less_equal(through, arrives * options_.closed_below), greater(arrives, 0.0)));
    });
    const auto phase = step_.graph.phase(Phase::step);
    publish("closed/" + path, {closed, rows});
  }

  Step& step_;
  const GradientTapOptions& options_;
  const ForwardValues forward_;  // before taps
  std::map<std::pair<bool, bool>, Value> factors_;
  Value f16_bounds_;
  std::map<ValueRef, Value> cotangents_;
};

}  // namespace

Transform tap_gradients(GradientTapOptions options, std::source_location where) {
  const UserLine line(where);
  WEFT_CHECK(options.closed_below >= 0 && options.closed_below < 1,
             "tap_gradients: closed_below must be in [0, 1), got {}", options.closed_below);
  return {.name = pass,
          .claim = Claim::same_bits,
          .needs = {fact::gradients},
          .forbids = {fact::checkpointed},
          .apply = [options](Step step) {
            Taps(step, options).add();
            step.facts.insert(fact::tapped_gradients);  // until remove_taps()
            return step;
          }};
}

}  // namespace weft
