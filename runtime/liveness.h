// Live bytes while the nodes of a step run one after another. Everything is an index into an array: schedules are made
// thousands of times by those who search for a plan. Private to runtime/.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/segments.h>

#include <cstdint>
#include <span>
#include <vector>

namespace weft {

/// Positions count computing nodes in build order. A base is a value that owns bytes: views count as their base,
/// sources as nothing.
class Liveness {
 public:
  Liveness(const Step& step, const std::vector<NodeId>& nodes);

  int position(NodeId id) const { return id < position_.size() ? position_[id] : -1; }
  std::size_t size() const { return reads_.size(); }
  Segment segment(int at) const { return segment_[static_cast<std::size_t>(at)]; }
  /// Change of live bytes if the node at `at` ran now.
  std::int64_t growth(int at) const;
  /// Runs it; gives the bytes that live while it runs. Nodes that have not run and whose growth has fallen are
  /// appended to `changed`, if given.
  std::size_t run(int at, std::vector<int>* changed = nullptr);
  /// Back to the start.
  void reset();

 private:
  struct Base {
    std::size_t bytes = 0;
    int readers = 0;       // distinct nodes; the end of the micro segment counts as one where it is held till then
    bool gathers = false;  // over micro-batches: lives from the first of them on
    bool kept = false;     // outlives the run
    std::int64_t sum = 0;  // of the positions of its readers: with one left, that one
  };
  struct Left {
    int readers;
    std::int64_t sum;
  };

  void pass(Segment now, std::vector<int>* changed);

  std::vector<int> position_;  // by id; -1: no computing node
  std::vector<Base> bases_;
  std::vector<std::vector<int>> reads_, writes_;  // bases by position, each once
  std::vector<Left> left_;                        // by base
  std::vector<Segment> segment_;                  // by position
  std::vector<int> held_;                         // bases that keep their bytes through all micro-batches
  bool inside_ = false;                           // the micro segment
  std::size_t live_ = 0;
};

}  // namespace weft
