#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/shape/movement.h>
#include <weft/optim/optimizers/muon.h>

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

double adjusted(MuonRate rule, const Shape& shape) {
  const auto rows = static_cast<double>(shape.extent(0));
  const auto columns = static_cast<double>(shape.extent(1));
  return rule == MuonRate::original ? std::sqrt(std::max(1.0, rows / columns))
                                    : 0.2 * std::sqrt(std::max(rows, columns));
}

}  // namespace

Value orthogonalized(const Value& x, const MuonConfig& config) {
  WEFT_CHECK(x.rank() == 2, "only a matrix can be made orthogonal, {} is {}", x.name(), x.type().str());
  const auto [a, b, c] = config.ns_coefficients;
  const bool standing = x.shape().extent(0) > x.shape().extent(1);  // the product is taken over the longer axis
  // Computed in `wide`, where a coefficient keeps its digits, and rounded to `narrow` after every product.
  const DType narrow = config.ns_dtype.value_or(x.dtype());
  const DType wide = size_of(narrow) < size_of(f32) ? f32 : narrow;
  auto rounded = [&](const Value& value) { return cast(cast(value, narrow), wide); };
  Value y = rounded(standing ? transpose(x, 0, 1) : x);
  // At most the spectral norm 1, from which the iteration converges.
  const Value norm = rounded(sqrt(cast(sum_squares(y), f64)));
  y = rounded(y / maximum(norm, config.eps));
  for (int i = 0; i < config.ns_steps; ++i) {
    const Value gram = rounded(matmul(y, y, {.transpose_b = true}));
    const Value factor = rounded(gram * b + matmul(gram, gram) * c);
    y = rounded(y * a + matmul(factor, y));
  }
  return cast(standing ? transpose(y, 0, 1) : y, x.dtype());
}

Optimizer muon(const MuonConfig& config, std::source_location line) {
  const UserLine told(line);
  expect_fraction("muon", "momentum", config.momentum);
  expect_not_negative("muon", "weight_decay", config.weight_decay);
  expect_not_negative("muon", "eps", config.eps);
  WEFT_CHECK(config.ns_steps >= 1 && config.ns_steps < 100, "muon needs ns_steps in [1, 100), got {}", config.ns_steps);
  WEFT_CHECK(!config.ns_dtype || is_float(*config.ns_dtype), "muon needs an ns_dtype of floats, got {}",
             name_of(*config.ns_dtype));
  auto rule = [config](const UpdateContext& c) {
    const Node& node = c.parameter.node();
    WEFT_CHECK(
        c.parameter.rank() == 2,
        "muon needs parameters of 2 axes, '{}' ({}) is {}; hint: give it to another: optimize({{{{\"{}\", adamw()}}, "
        "{{\"**\", muon()}}}})",
        node.name, str(node.where), c.parameter.type().str(), node.name);
    const Value buffer = c.state("momentum_buffer");
    const auto scope = c.scope();
    const Value g = c.gradient;
    const Value moved = buffer + (g - buffer) * (1.0 - config.momentum);
    const Value direction = orthogonalized(config.nesterov ? g + (moved - g) * config.momentum : moved, config);
    const double decay = c.weight_decay(config.weight_decay, 0);
    const Value shrunk = decay == 0 ? c.parameter : c.parameter * c.narrow(1.0 - c.rate * decay);
    c.update(c.parameter, shrunk - c.narrow(c.rate * adjusted(config.adjust_lr, c.parameter.shape())) * direction);
    c.update(buffer, moved);
  };
  return {"muon", config.rate, config.groups, rule};
}

}  // namespace weft
