// Values of a step as a run gives them. Private to inspect/ and testing/.
#pragma once

#include <weft/graph/at_batch.h>
#include <weft/graph/step.h>

#include <set>
#include <string>
#include <vector>

namespace weft {

/// A copy of a step in which any value can be fetched: of a step of micro-batches those of the whole batch, put side by
/// side or added up.
class WholeValues {
 public:
  /// What it adds to the graph was made by `pass`. `as_lowered`: a lowered step stays as it is.
  WholeValues(const Step& step, std::string pass, bool as_lowered = false);

  /// Absent where a run gives only that of the last micro-batch.
  Value of(ValueRef ref);
  /// Whether anybody reads the value: a kernel may leave out what nobody does (the clones of checkpoint).
  bool is_read(ValueRef ref) const { return read_.contains(ref); }
  Step& step() { return step_; }

 private:
  Step step_;
  std::string pass_;
  std::set<ValueRef> read_;
  std::vector<std::vector<BatchState>> states_;
};

}  // namespace weft
