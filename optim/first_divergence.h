// Where two steps over one graph part: the first node, in build order, whose value is another.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/program.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

namespace weft {

/// A value of the second step that is not what the first step has for it.
struct Divergence {
  std::string path = {};      ///< of the node
  std::string where = {};     ///< the user's line: "model.cpp:12"
  std::string pass = {};      ///< that made the node; "": the user
  std::string origin = {};    ///< path in the first step of the value that it is compared with
  std::string inserted = {};  ///< nodes of the second step only through which its operands went, with their passes
  std::int64_t element = 0;   ///< row-major, where they differ most
  double expected = 0, found = 0;
  double error = 0, bound = 0;
  bool direction = false;  ///< compared up to a factor: the cotangents start with another scale
  std::string str() const;
};

struct DivergenceOptions {
  /// Largest |difference| over the largest |value| that is rounding; 0: the bits must be the same.
  double relative = 0;
  /// Cells to start from; null: a new store of `seed`. They stay as they are.
  const Store* expected_store = nullptr;
  const Store* found_store = nullptr;
  std::uint64_t seed = 0;
  bool updates = true;  ///< also what follows the gradients (Phase::step); false: the forward and backward pass only
};

/// Which node of `expected` a node of `found` stands for: the same id and name; of
/// Phase::step, the same name and op; or a copy (of the same op and operands) that a pass made from it. From ids of
/// `found` to ids of `expected`.
std::map<NodeId, NodeId> align(const Step& expected, const Step& found);

/// Nodes of `found` alone through which `value` was made, the nearest four, with the passes that made them.
std::string inserted_before(const Step& expected, const Step& found, const Value& value);

/// Runs both with every aligned value fetched, once, and gives the first in build order of `found` that differs: all
/// that it was made from agreed, or has no counterpart (Divergence::inserted). Of a step of several micro-batches it
/// compares the whole batch's values (optim/fetch.h). None: all agree.
///
/// Where loss scaling or accumulation gave the backward pass other cotangents, its values are compared up to one factor
/// each. UserError as of Program and run().
std::optional<Divergence> first_divergence(const Step& expected, const Step& found, std::span<const Feed> feeds,
                                           const DivergenceOptions& options = {});

}  // namespace weft
