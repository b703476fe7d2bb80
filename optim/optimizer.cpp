#include <weft/ops/pointwise/arithmetic.h>
#include <weft/optim/optimizer.h>

#include <cmath>

namespace weft {

Value UpdateContext::state(const std::string& name) const { return state(name, parameter.type()); }

Value UpdateContext::state(const std::string& name, const TensorType& type, const Initializer& init) const {
  Graph graph = step.graph;
  const std::string path = "optimizer/" + name + "/" + parameter.node().name;
  const Value cell = graph.state(path, type, init, parameter.node().where);
  graph.check();
  WEFT_CHECK(cell.node().name == path,
             "{}: the state '{}' would be named '{}'; hint: ask for states before a scope is opened", optimizer, path,
             cell.node().name);
  return cell;
}

void UpdateContext::update(const Value& state, const Value& next) const {
  step.updates.push_back({state, where(taken, next, state)});
}

Value UpdateContext::narrow(const Value& scalar) const { return cast(scalar, parameter.dtype()); }

double UpdateContext::weight_decay(double own, int least_rank) const {
  return group.weight_decay.value_or(parameter.rank() < least_rank ? 0.0 : own);
}

Value UpdateContext::regularised(bool maximize, double decay) const {
  const Value ascent = maximize ? negate(gradient) : gradient;
  return decay == 0 ? ascent : ascent + parameter * decay;
}

Value UpdateContext::t() const { return cast(updates, f64) + 1.0; }

Scope UpdateContext::scope() const {
  Graph graph = step.graph;
  return graph.scope(optimizer + "/" + parameter.node().name);
}

void expect_not_negative(const char* name, const char* what, double value) {
  WEFT_CHECK(std::isfinite(value) && value >= 0, "{} needs {} of at least 0, got {}", name, what, value);
}

void expect_fraction(const char* name, const char* what, double value) {
  WEFT_CHECK(value >= 0 && value < 1, "{} needs {} in [0, 1), got {}", name, what, value);
}

}  // namespace weft
