// Finds the attentions of a step by their paths, for taps, gates and pruning. An attention that is built as its plain
// definition (AttentionMethod::plain, keep_share, a finite fill) consists of basic ops and is not found.
#pragma once

#include <weft/ops/attention/gate.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft::nn {

/// Heads of the attentions whose path matches a glob (graph/glob.h).
struct HeadSelection {
  std::string path = "**";
  std::vector<std::int64_t> heads = {};  ///< none: all
};
using HeadSelections = std::vector<HeadSelection>;

/// An attention of the forward pass. Its path is the module's ("decoder/0/attention"), or the node's if a scope holds
/// several.
struct AttentionNode {
  std::string path;
  Value y;  ///< [batch, time_q, heads, value_width]
  std::int64_t heads = 0;
  std::vector<std::int64_t> chosen;  ///< of the heads; sorted

  bool all() const { return static_cast<std::int64_t>(chosen.size()) == heads; }
};

/// All attentions of a graph, in build order, with no heads chosen.
std::vector<AttentionNode> attention_nodes(const Graph& graph);

/// The selected attentions of a step, in build order, without their recomputed copies. UserError that begins with
/// `who`: the step has no attention, a pattern matches none, a head does not exist, nothing is selected.
std::vector<AttentionNode> attention_nodes(const Step& step, const std::string& who,
                                           const HeadSelections& selections = {{}});

/// Heads as gates of their attention's output: for gate_importance() and close_gates() (optim/gates.h).
///   step | close_gates(nn::heads({{"decoder/0/attention", {1, 3}}}))
GateFinder heads(HeadSelections selections = {{}});

}  // namespace weft::nn
