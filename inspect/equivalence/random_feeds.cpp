#include <weft/graph/graph.h>
#include <weft/inspect/equivalence/random_feeds.h>
#include <weft/runtime/random.h>

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

template <class T>
void expect_inputs(const Graph& graph, const std::map<std::string, T>& named, const char* option) {
  for (const auto& [name, unused] : named) {
    const std::vector<Value> inputs = graph.inputs();
    std::string names;
    for (const Value& input : inputs) names += (names.empty() ? "" : ", ") + input.name();
    WEFT_CHECK(std::ranges::any_of(inputs, [&](const Value& input) { return input.name() == name; }),
               "{} names '{}', which is no input; there are: {}", option, name, names.empty() ? "none" : names);
  }
}

// Rows end at lengths of their own.
void pad(double* x, const Shape& shape, double value, const RandomKey& key, std::uint64_t run) {
  if (shape.rank() == 0 || shape.count() == 0) return;
  const std::int64_t columns = shape.extent(shape.rank() - 1), rows = shape.count() / columns;
  const bool by_element = shape.rank() == 1;
  std::vector<double> drawn(static_cast<std::size_t>(by_element ? columns : rows));
  uniform_fill(drawn.data(), static_cast<std::int64_t>(drawn.size()), 1, key, run);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 1; c < columns; ++c) {
      const double u = drawn[static_cast<std::size_t>(by_element ? c : r)];
      if (by_element ? u < 0.25 : c >= 1 + static_cast<std::int64_t>(u * static_cast<double>(columns)))
        x[r * columns + c] = value;
    }
}

}  // namespace

std::vector<Feed> feeds_of(const NamedTensors& tensors) {
  std::vector<Feed> feeds;
  for (const auto& [name, tensor] : tensors) feeds.emplace_back(name, tensor);
  return feeds;
}

NamedTensors random_feeds(const Graph& graph, std::int64_t run, const RandomFeeds& options) {
  expect_inputs(graph, options.integers, "integers");
  expect_inputs(graph, options.padding, "padding");
  NamedTensors feeds;
  for (const Value& input : graph.inputs()) {
    const std::string name = input.name();
    const DType dtype = input.dtype();
    Tensor drawn(f64, input.shape().extents());
    double* x = drawn.data<double>();
    const std::int64_t n = drawn.size();
    const RandomKey key = random_key(options.seed, "feed " + name);
    const auto at = static_cast<std::uint64_t>(run);
    if (is_float(dtype)) normal_fill(x, n, 0, key, at);
    else uniform_fill(x, n, 0, key, at);
    if (dtype == boolean)
      for (std::int64_t i = 0; i < n; ++i) x[i] = x[i] < 0.5 ? 0 : 1;
    if (is_integer(dtype)) {
      const auto bound = options.integers.find(name);
      WEFT_CHECK(bound != options.integers.end(),
                 "the integer input '{}' ({}) has no bound, so it cannot be drawn at random; hint: .integers = "
                 "{{{{\"{}\", n}}}} "
                 "draws from [0, n), or give .feeds",
                 name, str(input.node().where), name);
      WEFT_CHECK(bound->second >= 1, "the integer input '{}' needs a bound of at least 1, got {}", name, bound->second);
      for (std::int64_t i = 0; i < n; ++i) x[i] = std::floor(x[i] * static_cast<double>(bound->second));
    }
    if (const auto value = options.padding.find(name); value != options.padding.end())
      pad(x, input.shape(), value->second, key, at);
    feeds.emplace_back(name, drawn.cast(dtype));
  }
  return feeds;
}

}  // namespace weft
