// The terms of a loss by what their sums are divided by: terms of one group share a backward pass and an accumulator.
// Not in <weft/weft.h>.
#pragma once

#include <weft/optim/micro_phases.h>

#include <string>
#include <vector>

namespace weft {

/// sum_i c_i sum_i / weight: terms over one weight, or over none.
struct LossGroup {
  /// the same for every batch: once a step, whatever the number of micro-batches or runs
  bool batch_free = false;
  Value weight = {};                    ///< absent: none, or one that is free of the batch and stays in the seeds
  std::vector<std::size_t> terms = {};  ///< positions in the step's loss
};

struct LossGrouping {
  /// A weight that is free of the batch: a number that every run has anew (true), or one of the whole sum (false).
  bool sum_free_weights = false;
};

/// The groups, in the order of their first terms. UserError that begins with `who` and names the term and its line: it
/// depends on the batch and is no sum over the examples, or its weight is none.
std::vector<LossGroup> loss_groups(const Step& step, const MicroPhases& phases, const std::string& who,
                                   LossGrouping grouping = {});

/// A step whose backward passes do not divide by the weights of the groups, and the groups' gradients.
struct GroupGradients {
  Step step;
  std::vector<LossGroup> groups;              ///< in its graph
  std::vector<std::vector<Value>> gradients;  ///< [group][parameter], absent where a group does not reach it
};

/// Seeds of terms with a weight become coefficient * loss scale. One group keeps the backward pass that is there;
/// several get one each.
GroupGradients without_weights(const Step& step, const std::vector<LossGroup>& groups, const std::string& pass);

/// The gradients of a step from those of its groups, once their sums are complete: one group's as they are, tagged as
/// not yet divided by its weight (Step::gradient_weight); of several, sum over groups of gradient * cast(1 / weight).
void combine_groups(Step& step, const std::vector<LossGroup>& groups, const std::vector<std::vector<Value>>& gradients,
                    const std::vector<Value>& weights);

}  // namespace weft
