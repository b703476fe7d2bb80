// The step in which what is not saved is recomputed. Private to autodiff/.
#pragma once

#include <weft/autodiff/remat/graph.h>

#include <vector>

namespace weft::remat {

/// For each op the stretch of the forward pass in which it lies: one more than the number of the last saved value of
/// `cuts` (stored values, in order) that it is made from. An op of the backward pass lies in the stretch whose
/// gradient it computes, and never in a later one than what it reads.
std::vector<int> segments(const RematGraph& graph, const std::vector<int>& cuts, const Saved& saved);

struct Clones {
  std::vector<int> ops;  ///< that are recomputed, one entry a clone, in the order in which they run
  Saved used;            ///< saved values that the backward pass or a clone reads
  double seconds = 0;    ///< predicted, of one run of the whole step
};

/// The step with clones: each right before the first node of the backward pass that needs it, one for each op and
/// segment, shared by the nodes of that segment. A clone reads saved values and other clones, has the attributes, phase
/// and line of its original (and "unread": a mask of the outputs that nobody reads, which its kernel may leave out),
/// and says so in its provenance ("checkpoint", original). Forward nodes that nobody reads any more are left out.
/// Everything else keeps its id. The result is lowered.
Step with_clones(const RematGraph& graph, const std::vector<int>& segments, const Saved& saved,
                 Clones* clones = nullptr);

}  // namespace weft::remat
