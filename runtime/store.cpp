#include <weft/graph/glob.h>
#include <weft/graph/nearest.h>
#include <weft/graph/sources.h>
#include <weft/runtime/allocate.h>
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

// UserError, before anything is allocated, if the machine cannot hold the cells.
void expect_fits(const std::vector<const Node*>& cells) {
  std::vector<std::pair<std::size_t, std::string>> largest;
  std::size_t total = 0;
  for (const Node* node : cells) {
    const TensorType& type = node->types.front();
    total += type.bytes();
    largest.emplace_back(type.bytes(), fmt::format("{} of '{}' ({})", type.str(), node->name, str(node->where)));
  }
  expect_memory(total, "a Store of these parameters and states", std::move(largest));
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

// Handles that share a store, and programs over it, share one of these.
struct Store::Data {
  std::uint64_t seed = 0;
  std::int64_t runs = 0;
  std::map<std::string, Cell, std::less<>> cells = {};
  std::shared_ptr<RunGuard> guard = std::make_shared<RunGuard>();  // of the bytes: overlaid stores have the same
  std::shared_ptr<Data> under = {};                                // of an overlaid store: whose bytes these are
};

CellTensor& CellTensor::operator=(const Tensor& values) {
  WEFT_CHECK(!values.empty(), "'{}' is {}, it was given no tensor", path_, type_str());
  WEFT_CHECK(dtype() == values.dtype() && extents() == values.extents(), "'{}' is {}, it was given {}", path_,
             type_str(), values.type_str());
  if (bytes() > 0) std::memmove(raw(), values.raw(), bytes());
  return *this;
}

Store::Store() : data_(std::make_shared<Data>()) {}

Store::Store(const Graph& graph, StoreOptions options) : Store() {
  data_->seed = options.seed;
  graph.check();
  add(graph);
}

Store::Store(const Store& other) : data_(std::make_shared<Data>(other.data())) {
  data_->guard = std::make_shared<RunGuard>();
  data_->under = nullptr;
  for (auto& [path, cell] : data_->cells) cell.tensor = cell.tensor.clone();
}

Store& Store::operator=(const Store& other) {
  if (this == &other || data_ == other.data_) return *this;
  if (shared()) copy_in(other);
  else data_ = Store(other).data_;
  return *this;
}

Store& Store::operator=(Store&& other) {
  if (this == &other || data_ == other.data_) return *this;
  if (shared()) copy_in(other);
  else data_ = std::move(other.data_);
  return *this;
}

Store Store::share() const {
  data();
  return Store(data_);
}

void Store::copy_in(const Store& other) {
  constexpr const char* hint = "hint: a program is bound to the cells of this Store; make a Store of its own instead";
  const RunGuardHold hold = enter(true, "assigning to a Store");
  Data& here = data();
  const Data& there = other.data();
  for (const auto& [path, cell] : here.cells) {
    const auto found = there.cells.find(path);
    WEFT_CHECK(found != there.cells.end(), "'{}' is not in the Store that is assigned; {}", path, hint);
    const Tensor& values = found->second.tensor;
    WEFT_CHECK(values.dtype() == cell.tensor.dtype() && values.extents() == cell.tensor.extents(),
               "'{}' is {}, in the Store that is assigned it is {}; {}", path, cell.tensor.type_str(),
               values.type_str(), hint);
  }
  for (const auto& [path, cell] : there.cells)
    WEFT_CHECK(here.cells.contains(path), "'{}' is only in the Store that is assigned; {}", path, hint);
  for (const auto& [path, cell] : here.cells) CellTensor(cell.tensor, path) = there.cells.at(path).tensor;
  here.seed = there.seed;
  here.runs = there.runs;
}

Store::Data& Store::data() const {
  WEFT_CHECK(data_ != nullptr, "this Store was moved from; hint: use the one it was moved to");
  return *data_;
}

RunGuardHold Store::enter(bool writes, std::string_view who) const {
  RunGuard& guard = *data().guard;
  WEFT_CHECK(guard.enter(writes),
             "{} while a program over the same Store runs{}; hint: one after the other, or a Store of its own "
             "(store.clone())",
             who, writes ? "" : " that writes to it");
  return RunGuardHold(guard);
}

void Store::add(const Graph& graph) {
  std::vector<const Node*> missing;
  for (NodeId id : graph.ids()) {
    const Node& node = graph.node(id);
    if (node.op != &parameter_op() && node.op != &state_op()) continue;
    const auto found = data().cells.find(node.name);
    if (found == data().cells.end()) {
      missing.push_back(&node);
      continue;
    }
    const Tensor& here = found->second.tensor;
    WEFT_CHECK(here.dtype() == node.types.front().dtype && here.extents() == node.types.front().shape.extents(),
               "'{}' is {} in the graph ({}) and {} in the store; hint: a store of its own, or another name", node.name,
               node.types.front().str(), str(node.where), here.type_str());
  }
  if (missing.empty()) return;
  expect_fits(missing);
  const RunGuardHold hold = enter(true, "adding to a Store");
  std::map<std::string, Cell, std::less<>> made;
  for (const Node* node : missing)
    made.emplace(node->name, Cell{initial_value(*node, data().seed), node->op == &parameter_op()});
  data().cells.merge(made);
}

bool Store::has(std::string_view path) const { return data().cells.contains(path); }

CellTensor Store::tensor(std::string_view path) { return {static_cast<const Store*>(this)->tensor(path), path}; }

const Tensor& Store::tensor(std::string_view path) const {
  const auto& cells = data().cells;
  const auto found = cells.find(path);
  if (found == cells.end()) {
    std::vector<std::string> names;
    for (const auto& [name, cell] : cells) names.push_back(name);
    WEFT_CHECK(!names.empty(), "the store has no '{}': it is empty; hint: Store(graph)", path);
    WEFT_FAIL("the store has no '{}'; hint: the nearest of its {} cells are {}", path, names.size(),
              nearest(path, names));
  }
  return found->second.tensor;
}

void Store::set(std::string_view path, const Tensor& values) { tensor(path) = values; }

const std::map<std::string, Store::Cell, std::less<>>& Store::cells() const { return data().cells; }

std::vector<std::string> Store::match(std::string_view pattern) const {
  std::vector<std::string> found;
  for (const auto& [path, cell] : cells())
    if (matches(pattern, path)) found.push_back(path);
  return found;
}

std::uint64_t Store::seed() const { return data().seed; }
void Store::set_seed(std::uint64_t seed) { data().seed = seed; }
std::int64_t Store::runs() const { return data().runs; }
void Store::set_runs(std::int64_t runs) { data().runs = runs; }

std::int64_t Store::updates() const {
  const auto found = cells().find("updates");
  return found == cells().end() ? 0 : static_cast<std::int64_t>(found->second.tensor.item());
}

std::size_t Store::bytes() const {
  std::size_t total = 0;
  for (const auto& [path, cell] : cells()) total += cell.tensor.bytes();
  return total;
}

Store Store::overlaid(std::string_view prefix) const {
  const Data& whole = data();
  Store view(std::make_shared<Data>(whole));  // tensors share their bytes
  view.data_->under = data_;
  for (auto& [path, cell] : view.data_->cells) {
    const auto other = whole.cells.find(std::string(prefix) + path);
    if (!cell.trained || other == whole.cells.end()) continue;
    const Tensor& tensor = other->second.tensor;
    if (tensor.dtype() == cell.tensor.dtype() && tensor.extents() == cell.tensor.extents()) cell.tensor = tensor;
  }
  return view;
}

}  // namespace weft
