// The plan of a run: which nodes run, in which order, and where each value lies, known before the run and exact to the
// byte.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/lower.h>

#include <iosfwd>
#include <string>
#include <unordered_map>
#include <vector>

namespace weft {

/// How long to look for a smaller plan. Quick: for searches that make hundreds of plans. Full never takes more bytes
/// than quick does. Neither looks at a clock: the same step gives the same plan.
enum class Effort : std::uint8_t { quick, full };

struct PlanOptions {
  int threads = 0;            ///< sizes of workspaces; 0: threads() of runtime/parallel.h
  PassOptions lowering = {};  ///< passes to leave out, optional ones to run
  Effort effort = Effort::full;
};

/// Who owns the bytes of a storage.
enum class StorageKind : std::uint8_t {
  fed,         ///< the caller's buffer
  persistent,  ///< the Store's cell
  constant,    ///< fixed at build time, kept by the program
  arena        ///< one block, at `offset`
};

/// One range of bytes, which several values may share: a view and its base, an output that overwrote its operand.
struct Storage {
  StorageKind kind = StorageKind::arena;
  std::size_t bytes = 0;            ///< rounded up to the alignment
  std::size_t offset = 0;           ///< in the arena
  std::size_t first = 0, last = 0;  ///< its live range, in positions of the schedule (arena)
  ValueRef owner;                   ///< the value that names it
};

struct Plan {
  Plan();  // these six are compiled once, in plan.cpp
  Plan(const Plan&);
  Plan(Plan&&) noexcept;
  Plan& operator=(const Plan&);
  Plan& operator=(Plan&&) noexcept;
  ~Plan();

  Step step;                     ///< lowered
  std::vector<NodeId> schedule;  ///< nodes that compute, in order
  /// The positions [begin, end) of the schedule that run once for each micro-batch, step.micro_batches times; all
  /// others run once. Empty where there is one micro-batch.
  std::size_t micro_begin = 0, micro_end = 0;
  std::vector<Storage> storages;
  std::unordered_map<ValueRef, std::size_t> storage_of;  ///< where each value lies: an index into storages
  std::unordered_map<NodeId, std::size_t> workspaces;    ///< storage of a node's workspace
  /// Updates whose value is not computed in the state's own bytes: copied when the run ends.
  std::vector<Update> copies;
  /// Inputs of the graph that no node reads: they may be fed, and are ignored.
  std::vector<std::string> unread_inputs;
  int threads = 1;

  std::size_t persistent_bytes = 0;  ///< parameters and states that the step uses
  std::size_t constant_bytes = 0;
  std::size_t arena_bytes = 0;          ///< transient: activations, gradients, workspaces
  std::size_t lower_bound = 0;          ///< the largest sum of live bytes for this schedule
  std::size_t unshared_bytes = 0;       ///< arena_bytes if no two values shared bytes
  std::size_t peak_position = 0;        ///< in the schedule, where most bytes are live
  std::string scheduled_by, placed_by;  ///< names of the best scheduler and placer
  PassReport passes;

  /// All bytes that a run needs besides the feeds.
  std::size_t total_bytes() const { return persistent_bytes + constant_bytes + arena_bytes; }
  const Storage& storage(ValueRef ref) const { return storages[storage_of.at(ref)]; }
  /// Storages that are live at a position, largest first.
  std::vector<const Storage*> live_at(std::size_t position) const;
  std::string str() const;
};

/// Lowers and plans. Throws UserError with all problems of the graph.
Plan plan(const Step& step, const PlanOptions& options = {});
/// Checks a plan, independently of the planner: InternalError if two storages share bytes while both are live, if a
/// value is read before it is written or after its bytes were reused, or if an arena offset is not aligned.
void check_plan(const Plan& plan);
std::ostream& operator<<(std::ostream& out, const Plan& plan);
/// "1.25 MiB"
std::string readable_bytes(std::size_t bytes);

}  // namespace weft
