#include <weft/testing/verdict.h>

#include <weft/graph/graph.h>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace weft::testing {

std::ostream& operator<<(std::ostream& out, const Verdict& verdict) { return out << verdict.text; }

NamedTensors feeds_for(const Graph& graph, const RunOptions& options) {
  RandomFeeds random{options.seed, options.integers, options.padding};
  const std::vector<Value> inputs = graph.inputs();
  for (const auto& [name, tensor] : options.feeds) {
    const auto at = std::ranges::find_if(inputs, [&](const Value& input) { return input.name() == name; });
    std::string names;
    for (const Value& input : inputs) names += (names.empty() ? "" : ", ") + input.name();
    WEFT_CHECK(at != inputs.end(), "the feed '{}' is no input; there are: {}", name, names.empty() ? "none" : names);
    if (is_integer(at->dtype())) random.integers.try_emplace(name, 1);  // what is drawn for it is not used
  }
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
  double least = 0, most = 0;
  std::int64_t finite = 0, nan = 0, infinite = 0;
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    const double x = tensor.at(i);
    if (std::isnan(x))
      ++nan;
    else if (std::isinf(x))
      ++infinite;
    else {
      least = finite == 0 ? x : std::min(least, x);
      most = finite == 0 ? x : std::max(most, x);
      ++finite;
    }
  }
  std::string text = tensor.type_str();
  if (finite > 0) text += fmt::format(" in [{:.6g}, {:.6g}]", least, most);
  if (nan > 0) text += fmt::format(", {} NaN", nan);
  if (infinite > 0) text += fmt::format(", {} infinite", infinite);
  return text;
}

std::string place_str(const Value& value) {
  return fmt::format("{} : {} ({})", value.name(), value.type().str(), str(value.node().where));
}

}  // namespace weft::testing
