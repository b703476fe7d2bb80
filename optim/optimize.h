// The optimizer as nodes: a rule for each parameter, its state in the Store, the update predicated on `finite`.
#pragma once

#include <weft/graph/step.h>
#include <weft/optim/schedule.h>

#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// Options for parameters whose path matches: the first match wins. `pattern` is a glob (runtime/store.h);
/// `least_rank` asks for tensors of at least that many axes.
struct ParameterGroup {
  std::string pattern = "**";
  int least_rank = 0;
  std::optional<double> weight_decay = std::nullopt;  ///< instead of the optimizer's
  double rate_factor = 1;
  bool frozen = false;
};

/// What a rule gets for one parameter: all are values of the step's graph.
struct UpdateContext {
  Step& step;
  Value parameter, gradient;
  Value rate;     ///< f64 scalar, the group's factor included
  Value updates;  ///< i64 scalar: steps taken before this one
  Value finite;   ///< bool scalar: where false nothing may change
  ParameterGroup group;
  /// A state cell "optimizer/NAME/PATH" of the parameter's type, zeros at first.
  Value state(const std::string& name) const;
};

/// An optimizer: its name, rate, groups, and the nodes that it adds for one parameter.
struct Optimizer {
  std::string name;
  Schedule rate;
  std::vector<ParameterGroup> groups;
  std::function<void(const UpdateContext&)> update;
};

struct AdamwConfig {
  Schedule rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  /// Tensors of fewer axes do not decay (2: matrices and embeddings do, biases and norms do not; 0: all do, as in
  /// PyTorch). A group that names a weight_decay decides for its parameters.
  int decay_rank = 0;
  std::vector<ParameterGroup> groups = {};
};
/// torch.optim.AdamW (ops/adamw.h has the formula). UserError: betas outside [0, 1), eps or decay negative.
Optimizer adamw(const AdamwConfig& config);

/// Adds the update of every parameter that has a gradient, the counters "updates" and "skipped", and publishes "rate",
/// "finite" and "skipped". UserError: no gradients; twice; a group whose pattern matches no parameter.
Transform optimize(Optimizer optimizer, std::source_location where = std::source_location::current());

}  // namespace weft
