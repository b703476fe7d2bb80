// Feeds drawn at random for whatever a graph reads: what verify_equivalent runs steps on.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/program.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weft {

/// Tensors by the name of their input. feeds_of() points into it.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
std::vector<Feed> feeds_of(const NamedTensors& tensors);

struct RandomFeeds {
  std::uint64_t seed = 0;
  /// By input: integers are drawn from [0, bound). A graph does not say how many rows the table has that they pick
  /// from.
  std::map<std::string, std::int64_t> integers = {};
  /// Inputs with uneven tails: along the last axis, from a length of at least 1 that is drawn for each row, the
  /// elements hold this value (cross_entropy's ignore_index). A vector has single elements of it, never its first.
  std::map<std::string, double> padding = {};
};

/// A tensor for each input of the graph, other ones for each run: floats are standard normal, booleans fair coins.
/// UserError: an integer input without a bound, a bound below 1, a name that is no input.
NamedTensors random_feeds(const Graph& graph, std::int64_t run, const RandomFeeds& options = {});

}  // namespace weft
