// The first node, in build order, whose value differs between two steps. Two forms of one step, steps of graphs
// that were built apart, two dtypes, two programs, two numbers of threads. Against numbers from elsewhere:
// testing/dump_divergence.h.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/program.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace weft {

/// A value of the second step that is not what the first step has for it.
struct Divergence {
  std::string path = {};          ///< of the node
  std::string where = {};         ///< the user's line: "model.cpp:12"
  std::string pass = {};          ///< that made the node; "": the user
  std::string op = {};            ///< its name
  std::string origin = {};        ///< path in the first step of the value that it is compared with
  std::string origin_where = {};  ///< and its line
  std::string inserted = {};      ///< nodes of the second step only through which its operands went, with their passes
  /// instead of numbers, of graphs that were built apart: "is f32[2, 3], expected f32[2, 4]"
  std::string mismatch = {};
  std::string sides = {};                    ///< who differs, where it is not two steps: "4 threads against 1"
  std::int64_t element = 0;                  ///< row-major, where they differ most
  std::vector<std::int64_t> extents = {};    ///< of the value
  std::int64_t differing = 0, compared = 0;  ///< elements of the value that are over the bound, and all of them
  double expected = 0, found = 0;
  double error = 0, bound = 0;  ///< of that element
  bool direction = false;       ///< compared up to a factor: the cotangents start with another scale
  std::string str() const;
};

/// An element may differ by the sum of the first three; all 0: the bits must be the same (of two floating types: the
/// values).
struct DivergenceOptions {
  double relative = 0;  ///< times the largest |value| of the tensor
  double absolute = 0;
  double ulps = 0;  ///< units in the last place of the element that is expected, in the coarser of the two types
  /// Parameters and states to start from; null: a new store of `seed`. They stay as they are. Where neither is given
  /// and one of them has two floating types, the wider starts from the numbers of the narrower.
  const Store* expected_store = nullptr;
  const Store* found_store = nullptr;
  std::uint64_t seed = 0;
  bool updates = true;  ///< compare the update too (Phase::step); false: the forward and backward pass only
  int expected_threads = 0, found_threads = 0;  ///< 0: as many as there are (runtime/parallel.h)
};

/// Which node of `expected` a node of `found` stands for: the same id and name; of Phase::step, the same name and op;
/// or a copy (of the same op and operands) that a pass made from it. Of graphs that were built apart: the same name and
/// op. From ids of `found` to ids of `expected`.
std::map<NodeId, NodeId> align(const Step& expected, const Step& found);

/// Nodes of `found` alone through which `value` was made, the nearest four, with the passes that made them.
std::string inserted_before(const Step& expected, const Step& found, const Value& value);

/// Runs both with every aligned value fetched, once, and gives the first in build order of `found` that differs: all
/// that it was made from agreed, or has no counterpart (Divergence::inserted). Of a step of several micro-batches it
/// compares the whole batch's values (optim/fetch.h). None: all agree.
///
/// Where loss scaling or accumulation gave the backward pass other cotangents, its values are compared up to one factor
/// each. A feed of a floating type is converted to the type of each step's input. UserError as of Program and run(), or
/// where steps that were built apart have no node in common.
std::optional<Divergence> first_divergence(const Step& expected, const Step& found, std::span<const Feed> feeds,
                                           const DivergenceOptions& options = {});

/// The same of two programs: each as it was lowered, with its own number of threads, from a copy of its own store
/// (unless options give one). What was joined to a region (runtime/region/region.h) is compared where the region
/// ends.
std::optional<Divergence> first_divergence(const Program& expected, const Program& found, std::span<const Feed> feeds,
                                           const DivergenceOptions& options = {});

/// One step with several numbers of threads, each against the first. None for weft's own ops, whose bits do not depend
/// on it: this finds kernels of one's own whose bits do. UserError: fewer than two numbers.
std::optional<Divergence> first_divergence_of_threads(const Step& step, std::span<const Feed> feeds,
                                                      const std::vector<int>& counts = {1, 2, 4},
                                                      const DivergenceOptions& options = {});

}  // namespace weft
