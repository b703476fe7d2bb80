// What the checks behind the matchers say, and what they run on. Without Catch2: `CHECK(gradients_flow(step))`, or any
// framework that prints `outcome.text`.
#pragma once

#include <weft/inspect/equivalence/random_feeds.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>

namespace weft::testing {

struct Outcome {
  bool passed = true;
  std::string text = {};  ///< what was found, several lines; of a failure: where, expected, got
  explicit operator bool() const { return passed; }
};
std::ostream& operator<<(std::ostream& out, const Outcome& outcome);

/// What a step is run on. Nothing of it is changed by the run.
struct RunOptions {
  NamedTensors feeds = {};       ///< the inputs that are not among them are drawn (inspect/equivalence/random_feeds.h)
  const Store* store = nullptr;  ///< parameters and states to start from; null: a new store of `seed`
  std::uint64_t seed = 0;        ///< of parameters, dropout and feeds
  std::map<std::string, std::int64_t> integers = {};  ///< RandomFeeds::integers: drawn from [0, bound)
  std::map<std::string, double> padding = {};         ///< RandomFeeds::padding
};

/// A tensor for each input of the graph, in the input's type. UserError as of random_feeds(), or of a feed that
/// is no input, is given twice or has another type (floats are converted).
NamedTensors feeds_for(const Graph& graph, const RunOptions& options);
/// Checks the given feeds as feeds_for() does, and draws nothing.
void check_feeds(const Graph& graph, const NamedTensors& feeds);
/// A store for the step with the parameters and states of options.store, in the step's types; states that it lacks
/// begin as in a new store. UserError: it lacks a parameter.
Store store_for(const Step& step, const RunOptions& options);

/// "f32[4, 8] in [-1.2, 3.4]", with the numbers of NaN and infinite elements.
std::string range_str(const Tensor& tensor);
/// "block/0/w : f32[4, 8] (model.cpp:12)"
std::string place_str(const Value& value);

}  // namespace weft::testing
