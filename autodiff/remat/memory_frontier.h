// What memory costs in time: choices of what to keep and what to recompute that no other beats in both.
#pragma once

#include <weft/autodiff/checkpoint.h>
#include <weft/graph/step.h>
#include <weft/runtime/cost_model.h>

#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

namespace weft {

struct MemoryFrontier {
  struct Point {
    std::size_t bytes = 0;           ///< Plan::total_bytes(): what a budget must be at least
    double seconds = 0;              ///< predicted, of one run
    std::size_t saved_bytes = 0;     ///< kept from the forward pass for the backward pass
    std::size_t recomputed = 0;      ///< nodes that run again
    std::vector<std::string> saved;  ///< paths of the values kept, in order of computing
    std::string origin;              ///< how it was found
  };
  std::vector<Point> points;    ///< fewest bytes first; the last keeps all that is worth keeping
  std::size_t whole_bytes = 0;  ///< of the step as it is
  double whole_seconds = 0;
  std::size_t persistent_bytes = 0;  ///< parameters and states: no plan takes fewer
  std::size_t plans = 0;             ///< plans made to find the points
  int threads = 1;

  /// A table: bytes, share, predicted time, recomputed nodes, kept bytes.
  std::string str() const;
  /// The same as a picture: an SVG document.
  std::string svg() const;
};

struct FrontierOptions {
  int threads = 0;  ///< PlanOptions::threads
  MachineRates rates = {};
};

/// The curve of bytes against predicted time of a training step. checkpoint({.budget = point.bytes}) gives a step at
/// least as fast as the point. UserError: a step without gradients, or one that is checkpointed already.
MemoryFrontier memory_frontier(const Step& step, const FrontierOptions& options = {});
std::ostream& operator<<(std::ostream& out, const MemoryFrontier& frontier);

}  // namespace weft
