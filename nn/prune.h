// Prunes heads from a trained model: the smaller model's parameters are slices of the larger one's, and it computes
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

/// The configuration without these heads; the others keep their width. If kv_heads < heads, the query heads of a group
/// share keys and values, so only whole groups can be removed. UserError: a head that does not exist, part of a group,
/// every head.
AttentionConfig without_heads(const AttentionConfig& config, const std::vector<std::int64_t>& heads,
                              std::source_location where = std::source_location::current());

/// Fills every tensor of `to`, the smaller model's Store, from `from`: parameters of the pruned attentions, and the
/// optimizer state that belongs to them (optimizer/exp_avg/PATH/..), with the rows and columns of the heads that stay;
/// all others unchanged. Other tensors with an axis of heads (a bias [heads, ..] of the scores) must be cut by the
/// caller. UserError: as without_heads(); a path without parameters; a tensor that `from` lacks or that does not fit.
void prune_heads(const Store& from, Store& to, const std::vector<HeadPruning>& prunings,
                 std::source_location where = std::source_location::current());

}  // namespace weft::nn
