#include <weft/nn/key_value_cache.h>

#include <weft/ops/attention/cache.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/movement.h>

#include <algorithm>

namespace weft::nn {

std::int64_t KeyValueCacheConfig::bytes_per_token() const {
  const std::int64_t values = value_head_width == 0 ? head_width : value_head_width;
  return kv_heads * (head_width + values) * static_cast<std::int64_t>(size_of(dtype));
}

std::int64_t KeyValueCacheConfig::bytes() const {
  return batch.value() * (capacity * bytes_per_token() + static_cast<std::int64_t>(sizeof(std::int64_t)));
}

KeyValueCache::KeyValueCache(Graph graph, std::string path, const KeyValueCacheConfig& given,
                             std::source_location where)
    : name(std::move(path)), config(given) {
  if (config.value_head_width == 0) config.value_head_width = config.head_width;
  WEFT_CHECK(config.batch.value() > 0 && config.capacity > 0 && config.kv_heads > 0 && config.head_width > 0 &&
                 config.value_head_width > 0,
             "KeyValueCache '{}' ({}) needs positive sizes, got batch {}, capacity {}, kv_heads {}, head_width {}, "
             "value_head_width {}",
             name, str(where), config.batch.value(), config.capacity, config.kv_heads, config.head_width,
             config.value_head_width);
  WEFT_CHECK(is_float(config.dtype), "KeyValueCache '{}' ({}): dtype must be floating, got {}", name, str(where),
             name_of(config.dtype));
  const auto scope = graph.scope(name, where);
  const auto state = [&](const char* which, std::int64_t width) {
    return graph.state(which, {config.dtype, {config.batch, config.capacity, config.kv_heads, width}}, init::zeros());
  };
  keys = keys_now_ = state("keys", config.head_width);
  values = values_now_ = state("values", config.value_head_width);
  length = length_now_ = graph.state("length", {i64, {config.batch}}, init::zeros());
}

Value KeyValueCache::first(const Value& x, std::int64_t n) const {
  return x.valid() && n < config.batch.value() ? slice(x, {.axis = 0, .stop = n}) : x;
}

PositionOffset KeyValueCache::from(std::int64_t examples) const {
  return {.start = first(length, examples == 0 ? config.batch.value() : examples)};
}

void KeyValueCache::append(const Arg& k, const Arg& v, const Value& counts) {
  const Value &key = k.value(), &value = v.value();
  Graph graph = length.graph();
  const auto scope = graph.scope(name, k.where());
  WEFT_CHECK(!appended(), "KeyValueCache '{}' ({}): a graph appends once, this is the second time", name,
             str(k.where()));
  if (!key.valid() || !value.valid() || key.rank() < 2 || value.rank() < 2) {
    keys_now_ = cache_append(keys, key, length);  // says why, or fails with k
    values_now_ = cache_append(values, value, length);
    length_now_ = {graph.data(), {}};
    return;
  }
  const std::int64_t time = key.shape().extent(1), n = key.shape().extent(0);
  WEFT_CHECK(key.dim(0) == value.dim(0) && key.dim(1) == value.dim(1),
             "KeyValueCache '{}' ({}): keys and values must be of the same tokens, got {} and {}", name, str(k.where()),
             key.type().str(), value.type().str());
  const Value start = require_room(first(length, n), time, config.capacity, counts);
  keys_now_ = cache_append(keys, key, start, counts);
  values_now_ = cache_append(values, value, start, counts);
  length_now_ = counts.absent() ? start + time : start + cast(counts, i64);
  if (n < config.batch.value() && length_now_.valid())
    length_now_ = concatenate({length_now_, slice(length, {.axis = 0, .start = n})}, 0);
  graph.update(keys, keys_now_, k.where());
  graph.update(values, values_now_, k.where());
  graph.update(length, length_now_, k.where());
}

Value KeyValueCache::attend(const Arg& q, AttentionOptions options) const {
  const auto scope = length.graph().scope(name, q.where());
  if (!q.value().valid() || q.value().rank() == 0) return attention(q, keys_now_, values_now_, options);
  const std::int64_t n = q.value().shape().extent(0);
  WEFT_CHECK(
      appended() || !options.start.absent() || !(options.causal || options.window > 0),
      "KeyValueCache '{}' ({}): this graph appends nothing, so its queries have no place among the keys for causal or "
      "a window; hint: AttentionOptions::start",
      name, str(q.where()));
  options.lengths = first(length_now_, n);
  if (appended()) options.start = first(length, n);
  return attention(q, first(keys_now_, n), first(values_now_, n), options);
}

Value KeyValueCache::held_keys(std::int64_t examples) const {
  return first(keys_now_, examples == 0 ? config.batch.value() : examples);
}

void KeyValueCache::crop(Store& store, std::int64_t tokens) const {
  WEFT_CHECK(tokens >= 0, "KeyValueCache '{}' cannot be cropped to {} tokens", name, tokens);
  Tensor held = store.tensor(length.name());
  for (std::int64_t b = 0; b < held.size(); ++b)
    held.data<std::int64_t>()[b] = std::min(held.data<std::int64_t>()[b], tokens);
}

std::vector<std::int64_t> KeyValueCache::lengths(const Store& store) const {
  const auto held = store.tensor(length.name()).values<std::int64_t>();
  return {held.begin(), held.end()};
}

}  // namespace weft::nn
