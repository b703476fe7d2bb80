// The Store: parameters, states, counters and the seed, all that outlives a run. Made from a graph, shared by several
// programs (training, evaluation). A cell is initialised from (seed, path): adding a layer changes no other layer's
// numbers.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

struct StoreOptions {
  std::uint64_t seed = 0;
};

class Store {
 public:
  struct Cell {
    Tensor tensor;
    bool trained = false;  ///< a parameter, not a state
  };

  explicit Store(const Graph& graph, StoreOptions options = {});
  explicit Store(const Step& step, StoreOptions options = {}) : Store(step.graph, options) {}

  /// Adds the parameters and states of a graph that are not here yet. UserError if one is here under another type.
  void add(const Graph& graph);

  bool has(std::string_view path) const;
  /// The cell's tensor: writing to it changes the parameter. UserError, with the nearest paths, if there is none.
  Tensor& tensor(std::string_view path);
  const Tensor& tensor(std::string_view path) const;
  /// Copies values in; UserError unless type and extents agree.
  void set(std::string_view path, const Tensor& values);
  /// Sorted by path.
  const std::map<std::string, Cell, std::less<>>& cells() const { return cells_; }
  /// Paths that match a glob (graph/glob.h).
  std::vector<std::string> match(std::string_view pattern) const;

  std::uint64_t seed() const { return seed_; }
  void set_seed(std::uint64_t seed) { seed_ = seed; }
  /// How many runs have trained or drawn random numbers, skipped steps included. Random numbers depend on it.
  std::int64_t runs() const { return runs_; }
  void set_runs(std::int64_t runs) { runs_ = runs; }
  /// How many updates were taken: the state "updates" (schedules and Adam's t follow it); 0 without an optimizer.
  std::int64_t updates() const;

  /// Bytes of all cells.
  std::size_t bytes() const;
  /// A deep copy.
  Store clone() const;
  /// Another view of the same bytes, in which PATH of a parameter means the cell PREFIX + PATH if there is one of its
  /// type. Seed and count of runs are copied.
  Store overlaid(std::string_view prefix) const;

 private:
  Store() = default;

  std::uint64_t seed_ = 0;
  std::int64_t runs_ = 0;
  std::map<std::string, Cell, std::less<>> cells_;
};

/// The initial value of a parameter or a state.
Tensor initial_value(const Node& source, std::uint64_t seed);

}  // namespace weft
