// How to compute the attention of long sequences: plain, block-wise, block-wise and recomputed in the backward pass,
// or local. The advice knows the bytes of each strategy from a plan of it, made before anything is built, and says why
// it chose.
//
//   AttentionAdvice advice = attention_advice({.batch = 1, .heads = 12, .width = 64, .time = 4096, .layers = 12},
//                                             {.bytes = 512_MiB});
//   std::cout << advice;
//   model.attention = advice.options({.causal = true});
//   if (advice.recompute()) step = step | checkpoint({.recompute = {"decoder/*/attention/attention"}});
#pragma once

#include <weft/graph/dtype.h>
#include <weft/ops/attention/attention.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// The rule of thumb, in keys: over the first, attention is recomputed in the backward pass instead of kept; over the
/// second, each query reads only a window of keys, where that is allowed.
inline constexpr std::int64_t checkpoint_over_keys = 512;
inline constexpr std::int64_t sparse_over_keys = 1024;
/// Only up to these plain attention is considered: it takes fewer bytes there where threads are many (block-wise
/// kernels have a workspace for each), and three to four times as long at any length (measured: f32, one thread, 8 to
/// 256 keys).
inline constexpr std::int64_t plain_up_to_keys = 64;
/// Of local attention, where neither the caller nor a FLOP budget says another: |i - j| < 256.
inline constexpr std::int64_t local_window = 256;

/// The attentions to compute, all alike. Layouts as in ops/attention/attention.h.
struct AttentionCase {
  std::int64_t batch = 1, heads = 1;
  std::int64_t kv_heads = 0;     ///< 0: heads
  std::int64_t width = 64;       ///< of a head
  std::int64_t value_width = 0;  ///< 0: width
  std::int64_t time = 0;         ///< queries
  std::int64_t keys = 0;         ///< 0: time
  DType dtype = f32;
  bool causal = true;
  double dropout = 0;
  bool training = true;
  std::int64_t layers = 1;  ///< attentions whose forward passes all come before the first backward pass
};

struct AttentionPolicy {
  std::optional<std::int64_t> bytes = {};   ///< budget; with one, the first that fits is taken, whatever the length
  std::optional<double> flops = {};         ///< budget of one run, over all layers
  bool approximate = false;                 ///< whether a local window will do
  std::optional<std::int64_t> window = {};  ///< not given: local_window, or the largest that fits `flops`
  std::int64_t checkpoint_over = checkpoint_over_keys, sparse_over = sparse_over_keys, plain_up_to = plain_up_to_keys;
  int threads = 0;  ///< PlanOptions::threads
};

enum class AttentionStrategy : std::uint8_t { plain, block_wise, checkpointed, local };
const char* name_of(AttentionStrategy strategy);

struct AttentionAdvice {
  struct Candidate {
    AttentionStrategy strategy = AttentionStrategy::block_wise;
    std::int64_t window = 0;  ///< of local
    /// What runs take beside q, k, v and d_y: Plan::arena_bytes of one attention (y and, training, d_q, d_k, d_v are
    /// fetched), and kept_bytes of each other layer.
    std::size_t bytes = 0;
    std::size_t kept_bytes = 0;  ///< of one attention, from its forward to its backward pass, beside q, k and v
    /// Products of one run over all layers: 2 of the scores' size forward, 5 backward (4 where the weights are kept),
    /// over the pairs of query and key that are seen (plain: over all). Softmax is not counted.
    double flops = 0;
    std::string refused;  ///< why it cannot be taken, or by how much it misses a budget; empty: it can
  };
  AttentionCase problem;
  std::vector<Candidate> candidates;  ///< in the order of AttentionStrategy
  AttentionStrategy strategy = AttentionStrategy::block_wise;
  bool fits = true;  ///< false: none fits the budgets, and this one comes closest
  std::string why;   ///< sentences

  const Candidate& candidate(AttentionStrategy of) const { return candidates[static_cast<std::size_t>(of)]; }
  const Candidate& chosen() const { return candidate(strategy); }
  /// `base` with causal, method and window as advised.
  AttentionOptions options(AttentionOptions base = {}) const;
  /// Whether the step is to recompute the attention: checkpoint({.recompute = ...}).
  bool recompute() const { return strategy == AttentionStrategy::checkpointed; }
  /// A table of the candidates, and why.
  std::string str() const;
};

/// UserError: an extent or threshold that is not positive, kv_heads that do not divide heads, a dtype that is no
/// floating type.
AttentionAdvice attention_advice(const AttentionCase& problem, const AttentionPolicy& policy = {});
std::ostream& operator<<(std::ostream& out, const AttentionAdvice& advice);

}  // namespace weft
