// A readable summary of what a transform did to a step: nodes added and removed, fetches and states that are new.
#pragma once

#include <weft/graph/step.h>

#include <iosfwd>
#include <string>
#include <vector>

namespace weft {

struct Changes {
  /// Nodes of one op in one phase.
  struct Count {
    std::string op;
    Phase phase = Phase::micro;
    std::size_t added = 0, removed = 0;
  };
  std::vector<std::string> transforms;            ///< applied to `after` and not to `before`
  std::vector<Count> ops;                         ///< by op, then phase
  std::size_t added = 0, removed = 0, nodes = 0;  ///< sources included; `nodes`: of `after`
  std::size_t rewritten = 0;  ///< nodes of the same id with other operands, attributes, types or phase
  std::vector<std::string> published, dropped;  ///< names of fetches
  std::vector<std::string> states;              ///< paths of new states
  std::int64_t micro_batches = 1;               ///< of `after`

  bool none() const;
  std::string str() const;
};

/// From `before` to `after`. UserError unless both graphs derive from one graph: only then do equal ids mean the same
/// node.
Changes changes(const Step& before, const Step& after);
std::ostream& operator<<(std::ostream& out, const Changes& changes);

}  // namespace weft
