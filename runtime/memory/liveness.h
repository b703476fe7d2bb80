// Counts live bytes while the nodes of a step run one after another. Nodes and values are indices into arrays: a search
// for a plan tries thousands of schedules. Private to runtime/.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/memory/phases.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace weft {

/// What a plan has decided before it chooses an order.
struct Decided {
  std::unordered_map<ValueRef, ValueRef> in_state;  ///< output -> state whose bytes it overwrites
  std::vector<std::size_t> workspace;               ///< by node id: aligned bytes
  std::vector<std::vector<InPlace>> in_place;       ///< by node id: legal_in_place (runtime/in_place.h)
};

/// Bytes are those of the storages that a plan makes (runtime/memory/plan.cpp), so peaks are those of the plan:
/// aligned, with workspaces, and an output that overwrites an operand takes none. Positions count computing nodes in
/// build order. A base is a value that owns bytes: views count as their base, sources as nothing.
class Liveness {
 public:
  Liveness(const Step& step, const std::vector<NodeId>& nodes, const Decided& decided);

  int position(NodeId id) const { return id < position_.size() ? position_[id] : -1; }
  std::size_t size() const { return reads_.size(); }
  Phase phase(int at) const { return phase_[static_cast<std::size_t>(at)]; }
  /// By how much live bytes would grow if the node at `at` ran now.
  std::int64_t growth(int at) const;
  /// Runs it and returns the bytes that are live meanwhile. Nodes that have not run and whose growth has fallen are
  /// appended to `changed`, if given.
  std::size_t run(int at, std::vector<int>* changed = nullptr);
  /// Undoes the last run(), which must have been of `at`; not once another phase was entered.
  void undo(int at);
  /// reset(): back to the start. enter(): to where the nodes of a phase begin to run.
  void reset();
  void enter(Phase now) { pass(now, nullptr); }

  /// Bases that the node at `at` reads and makes, each once.
  std::span<const int> reads(int at) const { return reads_[static_cast<std::size_t>(at)]; }
  std::span<const int> writes(int at) const { return writes_[static_cast<std::size_t>(at)]; }
  std::size_t bases() const { return bases_.size(); }
  std::size_t bytes(int base) const { return bases_[static_cast<std::size_t>(base)].bytes; }
  bool kept(int base) const { return bases_[static_cast<std::size_t>(base)].kept; }

 private:
  struct Base {
    std::size_t bytes = 0;
    int readers = 0;       // distinct nodes; the end of the micro phase counts as one where it is held till then
    bool gathers = false;  // over micro-batches: lives from the first of them on
    bool kept = false;     // outlives the run
    std::int64_t sum = 0;  // of the positions of its readers: with one left, that one
  };
  struct Left {
    int readers;
    std::int64_t sum;
  };

  // An output that may overwrite an operand, if nothing reads that later.
  struct Reuse {
    std::uint32_t output;
    int base;
  };

  void pass(Phase now, std::vector<int>* changed);
  std::size_t reused(int at) const;

  std::vector<int> position_;  // by id; -1: no computing node
  std::vector<Base> bases_;
  std::vector<std::vector<int>> reads_, writes_;  // bases by position, each once
  std::vector<std::vector<Reuse>> reuse_;         // by position, by output
  std::vector<std::size_t> scratch_;              // by position: bytes of the workspace
  std::vector<Left> left_;                        // by base
  std::vector<Phase> phase_;                      // by position
  std::vector<int> held_;                         // bases that keep their bytes through all micro-batches
  bool inside_ = false;                           // the micro phase
  std::size_t live_ = 0;
};

}  // namespace weft
