// Who learns: read from the step, before anything runs.
#pragma once

#include <weft/graph/step.h>

#include <iosfwd>
#include <string>
#include <vector>

namespace weft {

struct Audit {
  struct Row {
    std::string path;
    TensorType type;
    bool reached = false;    ///< the loss depends on it in a differentiable way
    bool updated = false;    ///< an optimizer changes it
    bool frozen = false;     ///< not trained on purpose (optim/freeze.h)
    std::string cut;         ///< where not reached: the node that lets no gradient through, with the user's line
  };
  struct Use {
    std::string op;
    std::size_t forward = 0, backward = 0, other = 0;  ///< nodes
  };
  std::vector<Row> parameters;
  std::vector<Use> ops;                ///< most frequent first
  std::vector<std::string> history;    ///< transforms
  std::vector<std::string> published;  ///< names of the fetches
  std::int64_t trained = 0, total = 0;   ///< elements of parameters
  std::size_t nodes = 0;

  /// Every parameter is frozen, or reached by the loss and, if there is an optimizer, updated by it.
  bool complete() const;
  std::string str() const;
};

Audit audit(const Step& step);
std::ostream& operator<<(std::ostream& out, const Audit& audit);

}  // namespace weft
