// Your own transform of gradients: you write the rule for one gradient, the library makes the transform.
//
//   Transform signs() {
//     return each_gradient({.name = "signs",
//                           .change = "each gradient becomes its signs",
//                           .make = [](const GradientContext& c) { return sign(c.gradient); }});
//   }
//
// For more than that (other nodes, several passes over the model) write a Transform itself: graph/step.h, and
// examples/060-your-own-transform.cpp.
#pragma once

#include <weft/graph/step.h>

#include <functional>
#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// What a rule gets for one gradient: all are values of the step's graph.
struct GradientContext {
  Step& step;
  Value parameter, gradient;   ///< of one type; the gradient is unscaled and checked (unscale_and_check.h)
  Value updates;               ///< i64 scalar: steps taken before this one, optimize's own count
  std::string transform = {};  ///< its name

  /// An f64 scalar, cast to the gradient's dtype.
  Value narrow(const Value& scalar) const;
  /// Normally distributed random numbers of the gradient's type and shape. They depend on the seed, the run and the
  /// names of the transform and the parameter: they are the same for any number of threads and micro-batches, in the
  /// float64 twin, and with any other transforms.
  Value normal(double mean = 0, double deviation = 1) const;
};

struct EachGradient {
  std::string name;
  std::string change = {};     ///< what it changes, for people; needed for Claim::changes_meaning
  std::string pattern = "**";  ///< which parameters (graph/glob.h); the gradients of the others stay as they are
  /// Builds the gradient that replaces c.gradient, of the same type.
  std::function<Value(const GradientContext& c)> make = {};
  Claim claim = Claim::changes_meaning;
  GradientLaw law = {};  ///< for Claim::changes_meaning: its plain definition, for verify_equivalent
  std::vector<Fact> needs = {}, forbids = {}, promises = {};  ///< beside those of each_gradient itself
};

/// Unscales and checks the gradients unless that is done (optim/unscale_and_check.h), then replaces each whose
/// parameter matches by the result of `make`. Needs gradients; stands before optimize, before or after clips as is
/// meant. Nodes lie under NAME/PATH, run once per step, and have the provenance (NAME, the old gradient). "grad_norm"
/// and "finite" stay those of the old gradients. UserError: no name, no rule, Claim::changes_meaning without `change`;
/// when applied: a pattern that matches no parameter with a gradient; a rule that gives another type; the order.
Transform each_gradient(EachGradient rule, std::source_location where = std::source_location::current());

/// The count of the updates that a step takes: i64 scalar, the state "updates" in the Store. optimize(..) advances it;
/// the first transform that needs it makes it. UserError: a state of that name and another type.
Value updates_of(Step& step);

}  // namespace weft
