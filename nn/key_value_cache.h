// A key-value cache: the keys and values of earlier tokens, kept in the Store from run to run, so that a run computes
// only the new tokens.
#pragma once

#include <weft/graph/graph.h>
#include <weft/ops/attention/attention.h>
#include <weft/ops/attention/positions.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace weft::nn {

struct KeyValueCacheConfig {
  Dim batch = 1;              ///< the most examples
  std::int64_t capacity = 0;  ///< the most tokens that an example may hold
  std::int64_t kv_heads = 1;
  std::int64_t head_width = 0;        ///< of a head's keys
  std::int64_t value_head_width = 0;  ///< of a head's values; 0: head_width
  DType dtype = f32;

  /// Bytes of one token of one example: kv_heads (head_width + value_head_width) numbers.
  std::int64_t bytes_per_token() const;
  /// Bytes of the states: batch x capacity tokens, and a length (i64) for each example.
  std::int64_t bytes() const;
};

/// States NAME/keys [batch, capacity, kv_heads, head_width], NAME/values [.., value_head_width] and NAME/length
/// [batch], the number of tokens that each example holds. One cache a layer. A graph appends to it once; programs of
/// several graphs (a prompt of 64 tokens, then one token at a time) share it by its name in one Store:
///
///   Value next(Graph graph, Dim time) {                       // the same function builds both graphs
///     nn::KeyValueCache cache(graph, "cache", {.batch = 4, .capacity = 512, .kv_heads = 8, .head_width = 64});
///     ...
///     nn::AttentionHeads heads = attention.project(x);
///     heads.q = rotary(heads.q, {.from = cache.from()}), heads.k = rotary(heads.k, {.from = cache.from()});
///     x = x + attention.attend(heads, cache);
///   }
///   Program prompt(decoding({logits_of_64}), store), token(decoding({logits_of_1}), store);
///
/// A run moves the bytes of the new tokens only, and attention reads the keys that are held: its cost follows the
/// length, not the capacity. (For fewer examples than the cache is for, the keys and values that they hold are copied
/// first.) UserError: sizes that are not positive; appending twice; when the graph is checked: more examples or tokens
/// than the cache is for, another width; when a program runs: a cache that is full (the run changes nothing in the
/// Store).
struct KeyValueCache {
  std::string name;
  KeyValueCacheConfig config;
  Value keys, values, length;  ///< the states

  KeyValueCache() = default;
  KeyValueCache(Graph graph, std::string path, const KeyValueCacheConfig& config,
                std::source_location where = std::source_location::current());

  /// The position of the next token of each of the first `examples` examples: their lengths before this run. For
  /// rotary(), sinusoids, tables and biases of positions. 0: all examples.
  PositionOffset from(std::int64_t examples = 0) const;
  /// Appends k [n, time, kv_heads, head_width] and v [n, time, kv_heads, value_head_width] to the tokens of the first n
  /// examples. counts (i32 or i64, [n]): only the first counts[b] tokens of example b, for padded prompts of unequal
  /// lengths.
  void append(const Arg& k, const Arg& v, const Value& counts = {});
  /// Attention of q [n, time_q, heads, head_width] to the tokens that the first n examples hold now -> [n, time_q,
  /// heads, value_head_width]. Causal and windows count from the length before this run, as from() does; a bias or mask
  /// is of `capacity` keys. UserError: causal or a window where this graph has appended nothing and no start is given.
  Value attend(const Arg& q, AttentionOptions options = {}) const;
  /// The keys of the first `examples` examples (0: all) as the cache holds them now, [n, capacity, kv_heads,
  /// head_width]: for biases that need them (DeBERTa's position to content). Keys past an example's length are
  /// undefined.
  Value held_keys(std::int64_t examples = 0) const;
  /// Whether this graph has appended.
  bool appended() const { return length_now_ != length; }

  // To be called between runs.
  /// Cuts every example to its first `tokens` tokens (after rejected guesses, or for another turn). UserError: a
  /// negative number.
  void crop(Store& store, std::int64_t tokens) const;
  void reset(Store& store) const { crop(store, 0); }
  std::vector<std::int64_t> lengths(const Store& store) const;

 private:
  Value first(const Value& x, std::int64_t n) const;  // examples

  Value keys_now_, values_now_, length_now_;  // the states, or what append() made of them
};

}  // namespace weft::nn
