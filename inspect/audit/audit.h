// Which parameters learn, and along which paths: read from the step, before anything of it runs.
#pragma once

#include <weft/graph/step.h>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Something that a person should look at: what, where, and what to do about it.
struct Finding {
  enum class Kind : std::uint8_t {
    // A path from a parameter towards the loss ends here:
    stop_gradient,  ///< on purpose (Traits::cuts_gradient)
    integer,        ///< the result is of whole numbers
    comparison,     ///< the result is of bools
    no_derivative,  ///< the op gives this operand no gradient: its derivative is 0 or none (sign, floor)
    zero_jacobian,  ///< the gradient is 0 whatever the values are: times 0, x - x, softmax over one element
    no_backward,    ///< the op has neither a backward nor a plain definition
    // Other nodes and parameters that are not what they seem:
    unused_parameter,  ///< no path leads from it to the loss
    unused_output,     ///< made from a parameter, and neither the loss nor a fetch nor an update reads it
    duplicate,         ///< computes the bits of another of the user's nodes; lower() merges them
    not_updated,       ///< reached by the loss, and no optimizer changes it although others are changed
    batch_mixed,       ///< examples meet here: a reshape that mixes the batch with another axis, a norm over the batch
  };
  /// error: training is not what it seems (a parameter that cannot learn; a reshape that mixes examples). warning: may
  /// be meant, look (stop_gradient beside other paths, an unused output). note: usual (a comparison that masks, a
  /// duplicate).
  enum class Severity : std::uint8_t { note, warning, error };

  Kind kind = Kind::stop_gradient;
  Severity severity = Severity::note;
  std::string path;                     ///< of the node, or of the parameter where there is no node
  std::string where;                    ///< the user's line: "model.cpp:12"
  std::vector<std::string> parameters;  ///< whose path to the loss ends here, in build order; empty: it is about none
  std::string message;                  ///< with what to do

  std::string str() const;  ///< "error: PATH (FILE:LINE): MESSAGE"
};
std::string_view name_of(Finding::Kind kind);
std::string_view name_of(Finding::Severity severity);

struct Audit {
  struct Row {
    std::string path;
    TensorType type;
    bool reached = false;  ///< it has a gradient: the loss depends on it through differentiable ops
    bool updated = false;  ///< an optimizer changes it
    bool frozen = false;   ///< not trained on purpose (optim/freeze.h)
    std::string cut;       ///< where not reached: the node that lets no gradient through, with the user's line
    /// Paths along which a gradient flows from the loss to it: sequences of nodes and operands. Exact below 2^53, and
    /// no more than most_paths. 0 of a parameter that is reached: its gradient is 0 by construction.
    double paths = 0;
    /// Blocks that these paths go through, in build order. A block is the longest scope prefix of a path that ends in a
    /// number ("decoder/3"), else the first scope ("head"); "" where there is no scope (inspect/audit/blocks.h).
    std::vector<std::string> blocks = {};
    /// into `findings`: every place where one of its paths ends, also where others go on
    std::vector<std::size_t> cuts = {};
  };
  struct Use {
    std::string op;
    std::size_t forward = 0, backward = 0, other = 0;  ///< nodes
  };
  static constexpr double most_paths = 1e300;

  bool differentiated = true;  ///< the step has a backward pass; without one no row is reached or updated
  std::vector<Row> parameters;
  std::vector<Use> ops;                 ///< most frequent first
  std::vector<std::string> history;     ///< transforms
  std::vector<std::string> published;   ///< names of the fetches
  std::int64_t trained = 0, total = 0;  ///< elements of parameters
  std::size_t nodes = 0;
  std::vector<Finding> findings = {};  ///< cuts in build order, then what is about parameters, then the rest

  /// Every parameter is frozen, or reached by the loss and, if there is an optimizer, updated by it.
  bool complete() const;
  /// No finding is an error.
  bool healthy() const;
  std::vector<Finding> of(Finding::Kind kind) const;
  /// UserError that lists near paths: no parameter of that path.
  const Row& row(std::string_view path) const;
  /// Layers that are alike (blocks that differ in a number only) share their lines, and so do findings of one kind that
  /// one line of the user made.
  std::string str() const;
};

/// Reads the whole step; nothing of it runs. Whether a node's derivative is 0 whatever its operands are is asked by its
/// backward rule, built and run for that node alone on a few numbers (inspect/audit/edge_flow.h).
///
/// A parameter's path given twice, or a state updated twice, is an error of the graph: both lines are in it.
Audit audit(const Step& step);
std::ostream& operator<<(std::ostream& out, const Audit& audit);

}  // namespace weft
