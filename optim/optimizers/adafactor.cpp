#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/optimizers/adafactor.h>

#include <cmath>
#include <limits>

namespace weft {
namespace {

// sqrt(mean(x^2)) as an f64 scalar.
Value rms(const Value& x) { return sqrt(cast(sum_squares(x), f64) / static_cast<double>(x.shape().count())); }

// state + w (target - state)
Value lerp(const Value& state, const Value& target, const Value& w) { return state + w * (target - state); }

TensorType with_one(TensorType type, int axis) {
  type.shape[axis] = 1;
  return type;
}

}  // namespace

Optimizer adafactor(const AdafactorConfig& config, std::source_location line) {
  const UserLine told(line);
  WEFT_CHECK(config.beta2_decay <= 0, "adafactor needs a beta2_decay of at most 0, got {}", config.beta2_decay);
  WEFT_CHECK(config.d >= 1 && std::isfinite(config.d), "adafactor needs a threshold d of at least 1, got {}", config.d);
  if (config.eps1) expect_not_negative("adafactor", "eps1", *config.eps1);
  expect_not_negative("adafactor", "eps2", config.eps2);
  expect_not_negative("adafactor", "weight_decay", config.weight_decay);
  auto rule = [config](const UpdateContext& c) {
    const Value p = c.parameter;
    const bool factored = p.rank() > 1;
    const Value variance = factored ? Value{} : c.state("variance");
    const Value row_var = factored ? c.state("row_var", with_one(p.type(), -1)) : Value{};
    const Value col_var = factored ? c.state("col_var", with_one(p.type(), -2)) : Value{};
    const auto scope = c.scope();
    if (p.shape().count() == 0) return;
    const double epsilon = p.dtype() == f64 ? std::numeric_limits<double>::epsilon()
                                            : static_cast<double>(std::numeric_limits<float>::epsilon());
    const double eps1 = config.eps1.value_or(epsilon);
    const Value g = c.regularised(config.maximize, 0);
    const Value w = c.narrow(pow(c.t(), config.beta2_decay));
    Value estimate;
    if (factored) {
      const Value rows = lerp(row_var, mean(square(g), {.axes = {-1}, .keep = true}), w);
      const Value columns = lerp(col_var, mean(square(g), {.axes = {-2}, .keep = true}), w);
      estimate = rows * columns / maximum(mean(rows, {.axes = {-2}, .keep = true}), eps1);
      c.update(row_var, rows);
      c.update(col_var, columns);
    } else {
      estimate = lerp(variance, square(g), w);
      c.update(variance, estimate);
    }
    const Value u = g * rsqrt(maximum(estimate, eps1 * eps1));
    const Value size = maximum(rms(p), config.eps2) * minimum(c.rate, rsqrt(c.t()));
    const double decay = c.weight_decay(config.weight_decay, config.decay_rank);
    const Value shrunk = decay == 0 ? p : p * c.narrow(1.0 - c.rate * decay);
    c.update(p, shrunk - u * c.narrow(size / maximum(rms(u) / config.d, 1.0)));
  };
  return {"adafactor", config.rate, config.groups, rule};
}

}  // namespace weft
