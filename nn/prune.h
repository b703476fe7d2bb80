// Heads taken out of a trained model: the smaller model's parameters are slices of the larger one's, and it computes
// what the larger one computes with these heads masked (optim/gates.h: close_gates).
//
//   const nn::AttentionConfig config{.width = 64, .heads = 8};
//   nn::Attention large(graph, "attention", config);                              // in the graph of the larger model
//   nn::Attention small(other, "attention", nn::without_heads(config, {2, 5}));   // in that of the smaller one
//   Store pruned(other);
//   nn::prune_heads(store, pruned, {{"attention", config, {2, 5}}});
#pragma once

#include <weft/nn/attention.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft::nn {

/// The heads to take out of the attention (nn::Attention or nn::MultiheadAttention) whose parameters lie under `path`.
struct HeadPruning {
  std::string path;
  AttentionConfig config;           ///< of the larger model's module
  std::vector<std::int64_t> heads;  ///< to take out
};

/// The configuration without these heads: heads are as wide as they were. Queries of a group share keys and values, so
/// that a group goes as a whole (kv_heads < heads). UserError: a head that is not there, part of a group, every head.
AttentionConfig without_heads(const AttentionConfig& config, const std::vector<std::int64_t>& heads,
                              std::source_location where = std::source_location::current());

/// Fills every cell of `to`, the smaller model's, from `from`: those of the attentions with their rows and columns of
/// the heads that stay, also where an optimizer's state follows them (optimizer/exp_avg/PATH/..), all others as they
/// are. What reads heads by number elsewhere (a bias [heads, ..] of the scores) is the caller's to cut. UserError: as
/// without_heads(); nothing lies under a path; a cell that `from` lacks or that does not fit.
void prune_heads(const Store& from, Store& to, const std::vector<HeadPruning>& prunings,
                 std::source_location where = std::source_location::current());

}  // namespace weft::nn
