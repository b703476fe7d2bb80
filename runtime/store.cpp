#include <weft/graph/glob.h>
#include <weft/graph/nearest.h>
#include <weft/graph/sources.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/random.h>
#include <weft/runtime/store.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace weft {

namespace {

// Values first .. first + n of what `kind` draws, with its two numbers; columns of the key's row 0.
void draw(std::string_view kind, double a, double b, double* values, std::int64_t n, std::uint32_t first,
          RandomKey key) {
  if (kind == "constant") {
    std::fill(values, values + n, a);
  } else if (kind == "uniform") {
    uniform_fill(values, n, 0, key, 0, first);
    for (std::int64_t i = 0; i < n; ++i) values[i] = a + (b - a) * values[i];
  } else {
    normal_fill(values, n, 0, key, 0, first);
    if (kind == "truncated_normal") {
      // Values beyond two deviations are drawn again, at the same place, from the next run's numbers.
      std::vector<double> again(values, values + n);
      for (std::uint64_t round = 1; std::any_of(values, values + n, [](double v) { return std::abs(v) > 2; });
           ++round) {
        normal_fill(again.data(), n, 0, key, round, first);
        for (std::int64_t i = 0; i < n; ++i)
          if (std::abs(values[i]) > 2) values[i] = again[static_cast<std::size_t>(i)];
      }
    }
    for (std::int64_t i = 0; i < n; ++i) values[i] = a + b * values[i];
  }
}

}  // namespace

Tensor initial_value(const Node& source, std::uint64_t seed) {
  const TensorType& type = source.types.front();
  const Attributes& attributes = source.attributes;
  const std::string& kind = attributes.text("init");
  const double a = attributes.number("init_a");
  const double b = attributes.number("init_b");
  Tensor tensor(type.dtype, type.shape.extents());
  if (kind == "zeros") return tensor;
  if (kind == "tensor") {
    const auto& values = attributes.get<std::shared_ptr<const Constant>>("init_values");
    WEFT_CHECK(values->type == type, "the initial value of '{}' must be {}, got {}", source.name, type.str(),
               values->type.str());
    std::ranges::copy(values->bytes, tensor.raw());
    return tensor;
  }
  if (kind != "constant" && kind != "uniform" && kind != "normal" && kind != "truncated_normal")
    WEFT_FAIL("'{}' has an unknown initializer '{}'", source.name, kind);
  // Drawn in double and rounded once, so that an f32 and an f64 model start alike; a piece at a time, for memory.
  constexpr std::int64_t piece = 1 << 16;
  const RandomKey key = random_key(seed, source.name);
  const double most = a < b ? largest_below(type.dtype, b) : b;  // rounding may reach b, which is not of [a, b)
  parallel_for((tensor.size() + piece - 1) / piece, [&](std::int64_t tile, int) {
    const std::int64_t first = tile * piece;
    Tensor drawn(f64, {std::min(piece, tensor.size() - first)});
    draw(kind, a, b, drawn.data<double>(), drawn.size(), static_cast<std::uint32_t>(first), key);
    if (kind == "uniform")
      for (std::int64_t i = 0; i < drawn.size(); ++i) drawn.data<double>()[i] = std::min(drawn.data<double>()[i], most);
    const Tensor rounded = drawn.cast(type.dtype);
    std::memcpy(tensor.raw() + static_cast<std::size_t>(first) * size_of(type.dtype), rounded.raw(), rounded.bytes());
  });
  return tensor;
}

Store::Store(const Graph& graph, StoreOptions options) : seed_(options.seed) {
  graph.check();
  add(graph);
}

void Store::add(const Graph& graph) {
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    const bool trained = node.op == &parameter_op();
    if (!trained && node.op != &state_op()) continue;
    const auto found = cells_.find(node.name);
    if (found == cells_.end()) {
      cells_.emplace(node.name, Cell{initial_value(node, seed_), trained});
      continue;
    }
    const Tensor& here = found->second.tensor;
    WEFT_CHECK(here.dtype() == node.types.front().dtype && here.extents() == node.types.front().shape.extents(),
               "'{}' is {} in the graph ({}) and {} in the store; hint: a store of its own, or another name", node.name,
               node.types.front().str(), str(node.where), here.type_str());
  }
}

bool Store::has(std::string_view path) const { return cells_.contains(path); }

Tensor& Store::tensor(std::string_view path) {
  return const_cast<Tensor&>(static_cast<const Store*>(this)->tensor(path));
}

const Tensor& Store::tensor(std::string_view path) const {
  const auto found = cells_.find(path);
  if (found == cells_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, cell] : cells_) names.push_back(name);
    WEFT_CHECK(!names.empty(), "the store has no '{}': it is empty; hint: Store(graph)", path);
    WEFT_FAIL("the store has no '{}'; hint: the nearest of its {} cells are {}", path, names.size(),
              nearest(path, names));
  }
  return found->second.tensor;
}

void Store::set(std::string_view path, const Tensor& values) {
  Tensor& cell = tensor(path);
  WEFT_CHECK(cell.dtype() == values.dtype() && cell.extents() == values.extents(), "'{}' is {}, it was given {}", path,
             cell.type_str(), values.type_str());
  if (cell.bytes() > 0) std::memcpy(cell.raw(), values.raw(), cell.bytes());
}

std::vector<std::string> Store::match(std::string_view pattern) const {
  std::vector<std::string> found;
  for (const auto& [path, cell] : cells_)
    if (matches(pattern, path)) found.push_back(path);
  return found;
}

std::int64_t Store::updates() const {
  const auto found = cells_.find("updates");
  return found == cells_.end() ? 0 : static_cast<std::int64_t>(found->second.tensor.item());
}

std::size_t Store::bytes() const {
  std::size_t total = 0;
  for (const auto& [path, cell] : cells_) total += cell.tensor.bytes();
  return total;
}

Store Store::overlaid(std::string_view prefix) const {
  Store view = *this;  // tensors share their bytes
  for (auto& [path, cell] : view.cells_) {
    const auto other = cells_.find(std::string(prefix) + path);
    if (!cell.trained || other == cells_.end()) continue;
    const Tensor& tensor = other->second.tensor;
    if (tensor.dtype() == cell.tensor.dtype() && tensor.extents() == cell.tensor.extents()) cell.tensor = tensor;
  }
  return view;
}

Store Store::clone() const {
  Store copy;
  copy.seed_ = seed_;
  copy.runs_ = runs_;
  for (const auto& [path, cell] : cells_) copy.cells_.emplace(path, Cell{cell.tensor.clone(), cell.trained});
  return copy;
}

}  // namespace weft
