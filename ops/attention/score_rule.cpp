#include <weft/ops/attention/score_rule.h>

#include <weft/graph/error.h>
#include <weft/ops/attention/attention.h>

#include <cmath>

namespace weft {
namespace {

// Each number with the name of its attribute and the value that no attribute means; `scale` is always there, `offset`
// and `stream` where something reads them.
template <class Rule, class F>
void each_number(Rule& rule, const F& f) {
  f("soft_cap", rule.soft_cap, 0.0);
  f("dropout", rule.dropout, 0.0);
  f("causal", rule.causal, false);
  f("window", rule.window, std::int64_t{0});
  f("window_stride", rule.window_stride, std::int64_t{1});
  f("block_queries", rule.block_queries, std::int64_t{0});
  f("block_keys", rule.block_keys, std::int64_t{0});
}

}  // namespace

ScoreRule::ScoreRule(const Attributes& attributes)
    : scale(attributes.number("scale")),
      offset(attributes.get_or<std::int64_t>("offset", 0)),
      stream(attributes.get_or<std::int64_t>("stream", 0)) {
  each_number(*this, [&](const char* name, auto& number, auto otherwise) {
    number = attributes.get_or<decltype(otherwise)>(name, otherwise);
  });
}

ScoreRule::ScoreRule(const AttentionOptions& options, std::int64_t width, std::int64_t default_offset)
    : scale(options.scale.value_or(1 / std::sqrt(static_cast<double>(width))) / options.temperature),
      soft_cap(options.soft_cap),
      dropout(options.dropout),
      causal(options.causal),
      window(options.window),
      window_stride(options.window_stride),
      offset(options.offset.value_or(default_offset)),
      stream(options.stream.value_or(0)),
      block_queries(options.block_queries),
      block_keys(options.block_keys) {}

Attributes ScoreRule::attributes(bool positions) const {
  Attributes attributes{{"scale", scale}};
  each_number(*this, [&](const char* name, auto number, auto otherwise) {
    if (number != otherwise) attributes.set(name, number);
  });
  if (dropout != 0) attributes.set("stream", stream);
  if (causal || window != 0 || positions) attributes.set("offset", offset);
  return attributes;
}

void ScoreRule::check() const {
  WEFT_CHECK(scale > 0 && std::isfinite(scale), "scale / temperature must be positive, got {}", scale);
  WEFT_CHECK(soft_cap >= 0 && std::isfinite(soft_cap), "soft_cap must be at least 0, got {}", soft_cap);
  WEFT_CHECK(dropout >= 0 && dropout < 1, "dropout must be in [0, 1), got {}", dropout);
  WEFT_CHECK(window >= 0, "window must be at least 1 (0: none), got {}", window);
  WEFT_CHECK(window_stride >= 1, "window_stride must be at least 1, got {}", window_stride);
  // The softmax of a tile writes its statistics by whole vectors: those of the next tile begin at one.
  WEFT_CHECK(block_queries >= 0 && block_queries <= 480 && block_queries % 16 == 0,
             "block_queries must be a multiple of 16 up to 480 (0: automatic), got {}", block_queries);
  WEFT_CHECK(block_keys >= 0 && block_keys <= 4096, "block_keys must be 1 to 4096 (0: automatic), got {}", block_keys);
}

}  // namespace weft
