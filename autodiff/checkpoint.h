// Activation checkpointing: what is not kept from the forward pass is recomputed right before the backward pass needs
// it. A transform of the graph: nodes are cloned whole, so gradients are the same bits with and without.
//
//   training_step(loss) | optimize(adamw({})) | checkpoint({.budget = 512_MiB})     by bytes, or: fit(3_GiB)
//                                             | checkpoint(every_block())           by block
//                                             | checkpoint(dots_saveable())         by policy
//                                             | checkpoint({.save = {"decoder/*/add", logits}})   by hand
//
// Chen et al. 2016, arXiv:1604.06174; the search by bytes: docs/transforms.md, "Checkpointing".
#pragma once

#include <weft/autodiff/save_policy.h>
#include <weft/graph/bytes.h>
#include <weft/graph/step.h>
#include <weft/runtime/cost_model.h>

#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace weft {

/// Values of the forward pass, picked by a glob over node paths or by a handle that the user still holds.
struct Pick {
  std::string glob;
  Value value;
  Pick(const char* pattern) : glob(pattern) {}             // NOLINT: implicit
  Pick(std::string pattern) : glob(std::move(pattern)) {}  // NOLINT: implicit
  Pick(Value picked) : value(std::move(picked)) {}         // NOLINT: implicit
};

struct CheckpointOptions {
  std::vector<Pick> save = {};                      ///< kept; without `recompute` and `policy`, all else is recomputed
  std::vector<Pick> recompute = {};                 ///< recomputed; without `policy`, all else is kept
  std::optional<SavePolicy> policy = std::nullopt;  ///< decides on what neither list names
  /// Instead of all these: the fastest plan whose Plan::total_bytes() (persistent + constant + arena; feeds are the
  /// caller's) is at most this many bytes.
  std::optional<std::int64_t> budget = std::nullopt;
  int threads = 0;          ///< for a budget: threads of the plan (PlanOptions::threads)
  MachineRates rates = {};  ///< for a budget: what time is predicted with
};

/// Keeps only boundaries of blocks: tensors that every path to the loss goes through, found from the
/// structure (the residual stream: an attention or feed-forward branch is a block; an encoder's output). What follows
/// the last boundary is kept too: the backward pass begins with it.
struct EveryBlock {
  int every = 1;  ///< keep only every k-th boundary: 2 for whole layers of a transformer
};
inline EveryBlock every_block(EveryBlock options = {}) { return options; }

/// UserError: nothing to do, a glob that matches no value of the forward pass, a value picked for both, a picked value
/// that may not run twice; a budget together with picks, not positive, or below the least possible bytes (the message
/// says the least and by how much the budget misses); twice.
Transform checkpoint(CheckpointOptions options, std::source_location where = std::source_location::current());
Transform checkpoint(SavePolicy policy, std::source_location where = std::source_location::current());
/// UserError: k < 1, or a forward pass without such tensors.
Transform checkpoint(EveryBlock blocks, std::source_location where = std::source_location::current());
/// checkpoint({.budget = bytes}): where the step fits as it is, it stays as it is.
Transform fit(std::int64_t bytes, std::source_location where = std::source_location::current());

}  // namespace weft
