#include <weft/testing/outcome.h>

#include <weft/graph/graph.h>
#include <weft/graph/nearest.h>
#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <set>
#include <vector>

namespace weft::testing {

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) { return out << outcome.text; }

namespace {

[[noreturn]] void refuse_feed(const std::string& name, const std::vector<Value>& inputs) {
  WEFT_CHECK(!inputs.empty(), "the feed '{}' is no input: the graph has none", name);
  std::string all;
  std::vector<std::string> names;
  for (const Value& input : inputs) {
    all += "\n  " + place_str(input);
    names.push_back(input.name());
  }
  WEFT_FAIL("the feed '{}' is no input; hint: the nearest name is '{}'; the inputs are:{}", name,
            nearest(name, names, 1), all);
}

// A store that does not know a parameter is one of another model: it would be drawn, and that tested.
void expect_parameters(const Step& step, const Store& given) {
  std::string missing;
  std::size_t count = 0;
  const std::vector<Value> parameters = step.graph.parameters();
  for (const Value& parameter : parameters)
    if (!given.has(parameter.name()) && ++count <= 3) missing += "\n  " + place_str(parameter);
  if (count == 0) return;
  std::vector<std::string> cells;
  for (const auto& [path, cell] : given.cells()) cells.push_back(path);
  WEFT_FAIL(
      "the given store has no cell for {} of {} parameters of the step:{}{}\nhint: give a store that was made for this "
      "step or for "
      "one of its model; that one has {}",
      count, parameters.size(), missing, count > 3 ? "\n  ..." : "",
      cells.empty() ? "no cells" : fmt::format("{} cells, the first is '{}'", cells.size(), cells.front()));
}

}  // namespace

void check_feeds(const Graph& graph, const NamedTensors& feeds) {
  const std::vector<Value> inputs = graph.inputs();
  std::set<std::string> given;
  for (const auto& [name, tensor] : feeds) {
    const auto at = std::ranges::find_if(inputs, [&](const Value& input) { return input.name() == name; });
    if (at == inputs.end()) refuse_feed(name, inputs);
    WEFT_CHECK(given.insert(name).second,
               "the feed '{}' is given twice, for {}; hint: RunOptions::feeds holds each input once", name,
               place_str(*at));
    const bool same = at->dtype() == tensor.dtype() || (is_float(at->dtype()) && is_float(tensor.dtype()));
    WEFT_CHECK(same && at->shape().extents() == tensor.extents(), "the feed '{}' is {}, expected {}{}", name,
               tensor.type_str(), place_str(*at),
               same ? "" : "; hint: floats are converted, whole numbers and truth values are not");
  }
}

NamedTensors feeds_for(const Graph& graph, const RunOptions& options) {
  check_feeds(graph, options.feeds);
  RandomFeeds random{options.seed, options.integers, options.padding};
  for (const auto& [name, tensor] : options.feeds)
    if (is_integer(tensor.dtype())) random.integers.try_emplace(name, 1);  // what is drawn for it is not used
  NamedTensors feeds = random_feeds(graph, 0, random);
  for (auto& [name, tensor] : feeds)
    for (const auto& [given, values] : options.feeds)
      if (given == name)
        tensor = is_float(tensor.dtype()) && is_float(values.dtype()) ? values.cast(tensor.dtype()) : values;
  return feeds;
}

Store store_for(const Step& step, const RunOptions& options) {
  Store store(step, {.seed = options.store != nullptr ? options.store->seed() : options.seed});
  if (options.store == nullptr) return store;
  expect_parameters(step, *options.store);
  store.set_runs(options.store->runs());
  for (const auto& [path, cell] : store.cells()) {
    if (!options.store->has(path)) continue;
    const Tensor& given = options.store->tensor(path);
    const bool floats = is_float(given.dtype()) && is_float(cell.tensor.dtype());
    store.set(path, floats ? given.cast(cell.tensor.dtype()) : given);
  }
  return store;
}

std::string range_str(const Tensor& tensor) {
  const Spread spread = spread_of(tensor);
  std::string text = tensor.type_str();
  if (spread.finite > 0) text += fmt::format(" in [{:.6g}, {:.6g}]", spread.least, spread.most);
  if (spread.nan > 0) text += fmt::format(", {} NaN", spread.nan);
  if (spread.infinite > 0) text += fmt::format(", {} infinite", spread.infinite);
  return text;
}

std::string place_str(const Value& value) {
  return fmt::format("{} : {} ({})", value.name(), value.type().str(), str(value.node().where));
}

}  // namespace weft::testing
