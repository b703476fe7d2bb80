// A transform of gradients of your own: the frame is the library's, the rule of one gradient is yours.
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
  Value parameter, gradient;   ///< of one type; the gradient is clean (optim/unscale_and_check.h)
  Value updates;               ///< i64 scalar: steps taken before this one, optimize's own count
  std::string transform = {};  ///< its name

  /// An f64 scalar in the gradient's dtype.
  Value narrow(const Value& scalar) const;
  /// Normal numbers of the gradient's type. They follow from the seed, the names of transform and parameter and the
  /// run: the same for any number of threads and micro-batches, in the float64 twin, and whatever other transforms do.
  Value normal(double mean = 0, double deviation = 1) const;
};

struct EachGradient {
  std::string name;
  std::string change = {};     ///< what it changes, for people; needed where the claim is a change of meaning
  std::string pattern = "**";  ///< which parameters (graph/glob.h); the gradients of the others stay as they are
  /// The gradient that stands in the place of c.gradient, of the same type.
  std::function<Value(const GradientContext& c)> make = {};
  Claim claim = Claim::changes_meaning;
  GradientLaw law = {};  ///< of a change of meaning: its plain definition, by which verify_equivalent judges it
  std::vector<Fact> needs = {}, forbids = {}, promises = {};  ///< beside the frame's own
};

/// Unscales and checks the gradients if nobody has (optim/unscale_and_check.h), then puts what `make`
/// gives in the place of each whose parameter matches. Needs gradients; stands before optimize, before or behind clips
/// as is meant. Nodes lie under NAME/PATH, run once a step, and have (NAME, the gradient before) for their provenance.
/// "grad_norm" and "finite" stay those of the gradients before. UserError: no name, no rule, a change of meaning
/// without a word on it; when applied: a pattern that matches no parameter with a gradient; a rule that gives another
/// type; the order.
Transform each_gradient(EachGradient rule, std::source_location where = std::source_location::current());

/// The count of the updates that a step takes: i64 scalar, "updates" in the Store. optimize(..) advances it; whoever
/// asks before makes it. UserError: a state of that name and another type.
Value updates_of(Step& step);

}  // namespace weft
