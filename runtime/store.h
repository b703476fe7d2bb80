// The Store: parameters, states, counters and the seed, all that outlives a run. Made from a graph, shared by several
// programs (training, evaluation). A cell is initialised from (seed, path): adding a layer changes no other layer's
// numbers.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/run_guard.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

struct StoreOptions {
  std::uint64_t seed = 0;
};

/// A cell's tensor, as Store::tensor gives it: it shares the cell's bytes, and assigning copies into them.
class CellTensor : public Tensor {
 public:
  CellTensor(const CellTensor&) = default;
  /// UserError, with the cell's path, unless type and extents agree.
  CellTensor& operator=(const Tensor& values);
  CellTensor& operator=(const CellTensor& values) { return *this = static_cast<const Tensor&>(values); }
  ~CellTensor() = default;

 private:
  friend class Store;
  CellTensor(const Tensor& cell, std::string_view path) : Tensor(cell), path_(path) {}
  std::string path_;
};

/// Programs keep the cells that they were bound to: a Store may be moved or end before them. Values of cells change,
/// cells do not: assigning to a Store over which there are programs copies into its cells.
class Store {
 public:
  struct Cell {
    Tensor tensor;
    bool trained = false;  ///< a parameter, not a state
  };

  explicit Store(const Graph& graph, StoreOptions options = {});
  explicit Store(const Step& step, StoreOptions options = {}) : Store(step.graph, options) {}
  /// A copy has cells of its own (share() does not).
  Store(const Store& other);
  Store(Store&& other) noexcept = default;
  /// Cells, seed and count of runs of `other`. UserError, if there are programs over this Store or handles that share
  /// it: its cells are not those of `other`, or one of the programs is running.
  Store& operator=(const Store& other);
  Store& operator=(Store&& other);
  ~Store() = default;
  /// Another handle on the same cells, seed and count of runs.
  Store share() const;

  /// Adds the parameters and states of a graph that are not here yet. UserError if one is here under another type, if
  /// they do not fit the machine, or if a program over this Store is running and there is something to add.
  void add(const Graph& graph);

  bool has(std::string_view path) const;
  /// The cell's tensor: writing to it changes the parameter. UserError, with the nearest paths, if there is none.
  CellTensor tensor(std::string_view path);
  const Tensor& tensor(std::string_view path) const;
  /// Copies values in; UserError unless type and extents agree.
  void set(std::string_view path, const Tensor& values);
  /// Sorted by path.
  const std::map<std::string, Cell, std::less<>>& cells() const;
  /// Paths that match a glob (graph/glob.h).
  std::vector<std::string> match(std::string_view pattern) const;

  std::uint64_t seed() const;
  void set_seed(std::uint64_t seed);
  /// How many runs have trained or drawn random numbers, skipped steps included. Random numbers depend on it.
  std::int64_t runs() const;
  void set_runs(std::int64_t runs);
  /// How many updates were taken: the state "updates" (schedules and Adam's t follow it); 0 without an optimizer.
  std::int64_t updates() const;

  /// Bytes of all cells.
  std::size_t bytes() const;
  /// A deep copy.
  Store clone() const { return *this; }
  /// Another view of the same bytes, in which PATH of a parameter means the cell PREFIX + PATH if there is one of its
  /// type. Seed and count of runs are copied.
  Store overlaid(std::string_view prefix) const;

 private:
  friend class Program;
  struct Data;
  Store();
  explicit Store(std::shared_ptr<Data> data) : data_(std::move(data)) {}
  Data& data() const;
  bool shared() const { return data_ != nullptr && data_.use_count() > 1; }
  void copy_in(const Store& other);
  /// For the time of a run: UserError if others write, or if it writes and others read.
  RunGuardHold enter(bool writes, std::string_view who) const;

  std::shared_ptr<Data> data_;  ///< null after a move
};

/// The initial value of a parameter or a state.
Tensor initial_value(const Node& source, std::uint64_t seed);

}  // namespace weft
