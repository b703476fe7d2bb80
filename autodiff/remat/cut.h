// Which values to keep so that the fewest bytes cross from the forward to the backward pass. Private to autodiff/.
#pragma once

#include <weft/autodiff/remat/graph.h>
#include <weft/autodiff/remat/min_cut.h>

#include <vector>

namespace weft::remat {

struct CutOptions {
  Saved saved;               ///< kept whatever it costs: block boundaries
  std::vector<bool> banned;  ///< by op: is not run again
};

/// The node-split network of Jain et al.'s and AOTAutograd's partitioner (torch/_functorch/partitioners.py): each
/// stored value v is an edge v_in -> v_out of capacity bytes(v), and an op that reads a and writes v an unlimited edge
/// a_out -> v_in. The source leads to v_in where v must not be computed again, and v_out to the sink where the backward
/// pass reads v. Values that are there anyway (sources, `saved`) are left out. Vertex 2 i + 2 is v_in, 2 i + 3 is v_out
/// of stored value i.
CutNetwork network_of(const RematGraph& graph, const CutOptions& options);

/// What the minimum cut nearest to the backward pass keeps, `options.saved` included.
Saved cheapest(const RematGraph& graph, const CutOptions& options);

}  // namespace weft::remat
