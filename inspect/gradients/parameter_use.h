// How the forward pass reads a parameter: along which axis its units lie. Private to inspect/.
#pragma once

#include <weft/inspect/gradients/forward_values.h>

#include <cstdint>
#include <optional>

namespace weft {

struct ParameterUse {
  /// Its indices are units, each with a gradient of its own: outputs of a product, elements of a bias or of a gain.
  /// Absent: nodes disagree, pick from it by whole numbers (embeddings), or an index may belong to a feature of the
  /// data that no example has.
  std::optional<int> unit_axis;
  /// Rows of the whole batch that its gradient sums over.
  std::int64_t examples = 0;
};

/// By the nodes that read it, directly or through casts and other pointwise nodes of one operand.
ParameterUse use_of(const Step& step, const ForwardValues& forward, const Value& parameter);

/// Rows of the whole batch in a value of the forward pass: all axes but the last.
std::int64_t examples_in(const Step& step, ValueRef ref);

}  // namespace weft
