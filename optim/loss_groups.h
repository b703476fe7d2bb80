// Groups the terms of a loss by their weight: terms of one group share a backward pass and an accumulator.
// Not in <weft/weft.h>.
#pragma once

#include <weft/optim/micro_phases.h>

#include <string>
#include <vector>

namespace weft {

/// sum_i c_i sum_i / weight: terms over one weight, or over none.
struct LossGroup {
  /// does not depend on the batch: counts once per step, whatever the number of micro-batches or runs
  bool batch_free = false;
  Value weight = {};  ///< absent: none, or one that does not depend on the batch and stays in the seeds
  std::vector<std::size_t> terms = {};  ///< positions in the step's loss
};

struct LossGrouping {
  /// Whether a weight that does not depend on the batch counts once for each run (true) or once for the whole sum
  /// (false).
  bool sum_free_weights = false;
};

/// The groups, in the order of their first terms. UserError that begins with `who` and names the term and its line: the
/// term depends on the batch and is not a sum over the examples, or its weight is not.
std::vector<LossGroup> loss_groups(const Step& step, const MicroPhases& phases, const std::string& who,
                                   LossGrouping grouping = {});

/// A step whose backward passes do not divide by the weights of the groups, and the groups' gradients.
struct GroupGradients {
  Step step;
  std::vector<LossGroup> groups;              ///< in its graph
  std::vector<std::vector<Value>> gradients;  ///< [group][parameter], absent where a group does not reach it
};

/// The seeds of terms with a weight become coefficient * loss scale. One group keeps the existing backward pass; with
/// several, each gets its own.
GroupGradients without_weights(const Step& step, const std::vector<LossGroup>& groups, const std::string& pass);

/// Sets the gradients of a step from those of its groups, once their sums are complete. One group: as they are, tagged
/// as not yet divided by the weight (Step::gradient_weight). Several: sum over groups of gradient * cast(1 / weight).
void combine_groups(Step& step, const std::vector<LossGroup>& groups, const std::vector<std::vector<Value>>& gradients,
                    const std::vector<Value>& weights);

}  // namespace weft
