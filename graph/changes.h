// What a transform did to a step, for people: which nodes came and went, and what is published or kept anew.
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
  std::vector<std::string> transforms;            ///< that `after` has gone through and `before` has not
  std::vector<Count> ops;                         ///< by op, then phase
  std::size_t added = 0, removed = 0, nodes = 0;  ///< sources included; nodes of `after`
  std::size_t rewritten = 0;  ///< nodes of the same id whose operands, attributes, types or phase are others
  std::vector<std::string> published, dropped;  ///< names of fetches
  std::vector<std::string> states;              ///< paths of new state cells
  std::int64_t micro_batches = 1;               ///< of `after`

  bool none() const;
  std::string str() const;
};

/// UserError where the two steps have no graph in common: ids mean the same only within one family of graphs.
Changes changes(const Step& before, const Step& after);
std::ostream& operator<<(std::ostream& out, const Changes& changes);

}  // namespace weft
