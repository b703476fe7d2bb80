// Where the forward pass can be cut by keeping one tensor. Private to autodiff/.
#pragma once

#include <weft/autodiff/remat/graph.h>

#include <vector>

namespace weft::remat {

/// Articulation tensors and the blocks between them, found from the structure alone. Among the values that carry the
/// batch and a gradient to the loss, a tensor is an articulation of a target if every path to the target goes through
/// it (it dominates the target): the residual stream of a transformer. Where one tensor is read by many blocks (an
/// encoder's output), it is set aside as a target of its own and the rest is cut without it.
struct Blocks {
  /// One chain a target, each in order of computing: boundaries with an expensive op (Traits::cheap is false) before
  /// each and after the last.
  std::vector<std::vector<int>> chains;
  std::vector<int> aside;  ///< targets other than the loss
  std::vector<int> cuts;   ///< every articulation tensor, in order of computing

  /// Every k-th boundary of each chain, and what was set aside.
  std::vector<int> every(int k) const;
  int longest() const;  ///< boundaries of the longest chain
};

Blocks find_blocks(const RematGraph& graph);

/// What to keep after the last of `boundaries`: stored values that no boundary is made from. The backward pass starts
/// there, so recomputing them would free nothing.
std::vector<int> tail(const RematGraph& graph, const std::vector<int>& boundaries);

}  // namespace weft::remat
