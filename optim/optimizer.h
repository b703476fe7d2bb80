// What an optimizer is: a learning rate, groups, and a rule that builds the nodes of one parameter's update. The
// library's and a user's own have the same form:
//
//   Optimizer signs(double rate) {
//     return {"signs", rate, {}, [](const UpdateContext& c) {
//               c.update(c.parameter, c.parameter - c.narrow(c.rate) * sign(c.gradient));
//             }};
//   }
#pragma once

#include <weft/graph/step.h>
#include <weft/optim/schedules/schedule.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// Options for parameters whose path matches: the first match wins. `pattern` is a glob (graph/glob.h);
/// `least_rank` asks for tensors of at least that many axes.
struct ParameterGroup {
  std::string pattern = "**";
  int least_rank = 0;
  std::optional<double> weight_decay = std::nullopt;  ///< instead of the optimizer's
  std::optional<Schedule> rate = std::nullopt;        ///< instead of the optimizer's; published as "rate/PATTERN"
  double rate_factor = 1;                             ///< multiplies either
  /// No update and no gradient, as by freeze(PATTERN). But a norm taken by an earlier clip counts these parameters: put
  /// freeze() before clipping where it must not.
  bool frozen = false;
};

/// What a rule gets for one parameter: all are values of the step's graph.
struct UpdateContext {
  Step& step;
  Value parameter, gradient;  ///< of one type; the gradient is unscaled and checked (unscale_and_check.h)
  Value rate;                 ///< f64 scalar, the group's factor included
  Value updates;              ///< i64 scalar: steps taken before this one, by the whole store
  Value taken;                ///< bool scalar (Step::taken): where false nothing may change
  ParameterGroup group;
  std::string optimizer = {};  ///< its name

  /// The state "optimizer/NAME/PATH", of the parameter's type or of `type`; zeros at first. UserError inside a scope
  /// that the rule has opened: states are named from the top.
  Value state(const std::string& name) const;
  Value state(const std::string& name, const TensorType& type, const Initializer& init = init::zeros()) const;
  /// state := next where the update is taken. Where it is not, the bits stay, whatever `next` is.
  void update(const Value& state, const Value& next) const;
  /// An f64 scalar, cast to the parameter's dtype.
  Value narrow(const Value& scalar) const;
  /// The group's weight decay if it names one; else 0 for a parameter of fewer than `least_rank` axes, else `own`.
  double weight_decay(double own, int least_rank) const;
  /// The gradient, negated to maximize, plus decay * parameter (an L2 penalty).
  Value regularised(bool maximize, double decay) const;
  /// t of the papers as an f64 scalar: 1 at the first step.
  Value t() const;
  /// While it lives, nodes are named under "NAME/PATH".
  [[nodiscard]] Scope scope() const;
};

/// An optimizer: its name, rate, groups, and the nodes that it adds for one parameter.
struct Optimizer {
  std::string name;
  Schedule rate;
  std::vector<ParameterGroup> groups;
  std::function<void(const UpdateContext&)> update;
  bool takes_narrow = false;  ///< updates bf16 and f16 parameters too; else they are an error
};

/// UserError unless `value` is finite and not negative: "NAME needs WHAT of at least 0, got VALUE".
void expect_not_negative(const char* name, const char* what, double value);
/// UserError unless 0 <= value < 1.
void expect_fraction(const char* name, const char* what, double value);

}  // namespace weft
