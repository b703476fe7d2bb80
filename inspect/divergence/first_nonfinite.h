// The node in which NaN or infinity begins.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/program.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace weft {

/// What a tensor holds.
struct ValueRange {
  std::string path, type;      ///< of the value: "decoder/0/attention/softmax", "f32[4, 8]"
  std::string where;           ///< the user's line: "model.cpp:12"
  double least = 0, most = 0;  ///< of the finite elements; NaN where there are none
  std::int64_t nan = 0, infinite = 0, elements = 0;
  std::string str() const;  ///< "PATH (FILE:LINE) f32[4, 8]: -3 to 2, 1 NaN, 2 infinite of 32"
};

struct NonFiniteNode {
  std::string path, op;
  std::string where;  ///< the user's line; of a node of the backward pass: that of the node that it belongs to
  std::string pass;   ///< that made the node: "gradient", ...; "": the user
  bool nan = false;   ///< it makes NaN; false: infinity
  ValueRange output;
  std::vector<ValueRange> inputs;  ///< in the order of its operands
  /// what is not finite because of it: "the loss", "the gradient of PATH", "the update of PATH"
  std::string reached;
  /// where an infinity begins that a node that makes NaN reads, as inf - inf; empty: it reads none, or a constant's
  std::vector<NonFiniteNode> infinity = {};
  std::string str() const;  ///< lines for people, with what to do
};

/// Runs the step once, from a copy of `store`, with every value fetched: the first node, in build order, whose output
/// holds NaN although no operand does, and from which NaN comes to the loss, a gradient or an update; where none of
/// those is NaN, the same with infinity. A parameter, state or input that holds it is the first. An infinity that does
/// no harm (the -inf of a mask) is passed over. None: the loss, all gradients and updates are finite.
///
/// Keeps every value of the step in memory. Of a step of several micro-batches: of the micro-batches together, where a
/// value is one of each example or a sum over them. UserError as of Program and run().
std::optional<NonFiniteNode> first_nonfinite(const Step& step, const Store& store, std::span<const Feed> feeds);
inline std::optional<NonFiniteNode> first_nonfinite(const Step& step, const Store& store,
                                                    std::initializer_list<Feed> feeds) {
  return first_nonfinite(step, store, std::span<const Feed>(feeds.begin(), feeds.size()));
}

/// A result of a step: a value and what it is to people, "the loss".
struct NamedResult {
  Value value;
  std::string what;
};
/// The same, with these results of the step in place of its loss, gradients and updates.
std::optional<NonFiniteNode> first_nonfinite(const Step& step, const std::vector<NamedResult>& results,
                                             const Store& store, std::span<const Feed> feeds);

}  // namespace weft
