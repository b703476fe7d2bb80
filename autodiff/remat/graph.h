// A lowered step as recomputation sees it: what runs before the backward pass, what each op costs, which bytes the
// backward pass reads. Private to autodiff/.
//
// A stored value is one block of bytes: a value and all views of it. An op of the forward pass that may run twice is
// recomputable; what it stores is either saved (kept until the backward pass has read it) or recomputed.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/cost_model.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace weft::remat {

inline constexpr int nothing = -1;

struct Op {
  NodeId id = no_node;
  bool forward = false;       ///< the loss, the seeds or an early fetch is made from it
  bool on_loss = false;       ///< a term of the loss is made from it
  bool recomputable = false;  ///< may be cloned: forward, of the micro phase, without effects
  bool expensive = false;     ///< Traits::cheap is false
  bool view = false;
  double seconds = 0;                          ///< predicted
  std::vector<double> seconds_by_unread = {};  ///< of a clone, by the mask of outputs that nobody reads
  std::vector<int> reads = {};                 ///< stored values, each once
  std::vector<int> writes = {};                ///< stored values that are its own; none for a view
};

struct Stored {
  ValueRef owner;
  int op = nothing;               ///< that makes it
  std::size_t bytes = 0;          ///< aligned
  bool free = false;              ///< a source: there at any time, nothing to save
  bool must_save = false;         ///< forward, and made by an op that may not run twice
  bool choice = false;            ///< forward and recomputable: what a plan decides on
  bool read_late = false;         ///< by a node of the backward pass
  bool on_path = false;           ///< on a differentiable path from inputs and parameters to the loss
  std::vector<int> readers = {};  ///< ops, each once, views left out: their readers count
};

/// Whether lowering has computed what depends on constants alone. Folded: what plan() sees, for scoring. Exact: numbers
/// stay as the user gave them for the float64 twin of the result (inspect/equivalence/widen.h), and plan() folds them
/// later.
enum class Numbers : std::uint8_t { folded, exact };

struct RematGraph {
  Step step;                   ///< lowered
  std::vector<Op> ops;         ///< in build order
  std::vector<Stored> stored;  ///< in the order of their ops
  std::unordered_map<NodeId, int> op_of;
  std::vector<std::vector<int>> stored_of;  ///< by op, by output: through views
  std::vector<int> loss_terms;              ///< stored sums of the loss
  std::vector<NodeId> origin;               ///< by op of the backward pass: the forward node whose gradient it is

  explicit RematGraph(const Step& step, const MachineRates& rates = {}, Numbers numbers = Numbers::exact);

  int stored_at(ValueRef ref) const { return stored_of[static_cast<std::size_t>(op_of.at(ref.node))][ref.output]; }
  const Op& op(int i) const { return ops[static_cast<std::size_t>(i)]; }
  const Stored& at(int i) const { return stored[static_cast<std::size_t>(i)]; }
  double seconds_of(int i, std::uint32_t unread) const {
    const Op& of = op(i);
    return unread < of.seconds_by_unread.size() ? of.seconds_by_unread[unread] : of.seconds;
  }
  int size() const { return static_cast<int>(stored.size()); }
};

/// By stored value: whether it is kept for the backward pass. Only entries that are a choice matter.
using Saved = std::vector<bool>;

}  // namespace weft::remat
