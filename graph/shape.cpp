#include <weft/graph/shape.h>

#include <algorithm>
#include <deque>
#include <mutex>

namespace weft {
namespace {

// Names of symbols; a deque keeps references valid while it grows.
struct SymbolTable {
  std::mutex mutex;
  std::deque<std::string> names{""};
};
SymbolTable& symbols() {
  static SymbolTable table;
  return table;
}

// What the address space of a process holds, of any machine.
constexpr std::int64_t most_bytes = std::int64_t{1} << 47;

std::int64_t product(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  WEFT_CHECK(!__builtin_mul_overflow(a, b, &result), "the extent {} times {} does not fit 63 bits", a, b);
  return result;
}

}  // namespace

Symbol::Symbol(std::string_view name) {
  SymbolTable& table = symbols();
  const std::lock_guard lock(table.mutex);
  auto at = std::find(table.names.begin(), table.names.end(), name);
  if (at == table.names.end()) at = table.names.insert(table.names.end(), std::string(name));
  id_ = static_cast<std::uint32_t>(at - table.names.begin());
}

const std::string& Symbol::name() const {
  SymbolTable& table = symbols();
  const std::lock_guard lock(table.mutex);
  return table.names[id_];
}

Dim Dim::named(std::string_view name, std::int64_t value) {
  WEFT_CHECK(!name.empty(), "a named extent needs a name");
  WEFT_CHECK(value > 0, "the extent '{}' must be positive, got {}", name, value);
  Dim dim;
  dim.factors_[0] = {Symbol(name), value};
  dim.count_ = 1;
  dim.value_ = value;
  return dim;
}

bool Dim::has(Symbol symbol) const {
  return std::ranges::any_of(factors(), [&](const Factor& f) { return f.symbol == symbol; });
}

Dim Dim::with(Symbol symbol, std::int64_t value) const {
  Dim result = *this;
  for (int i = 0; i < count_; ++i)
    if (result.factors_[static_cast<std::size_t>(i)].symbol == symbol)
      result.factors_[static_cast<std::size_t>(i)].value = value;
  result.evaluate();
  return result;
}

void Dim::evaluate() {
  value_ = number_;
  for (const Factor& factor : factors()) value_ = product(value_, factor.value);
}

std::string Dim::str() const {
  if (count_ == 0) return fmt::format("{}", value_);
  std::string text;
  for (const Factor& factor : factors()) text += (text.empty() ? "" : "*") + factor.symbol.name();
  if (number_ != 1) text += fmt::format("*{}", number_);
  return fmt::format("{}={}", text, value_);
}

Dim operator*(const Dim& a, const Dim& b) {
  // A product that has more named factors than fit keeps its value and loses its names.
  if (a.count_ + b.count_ > Dim::max_factors) return Dim(product(a.value_, b.value_));
  Dim result = a;
  result.number_ = product(a.number_, b.number_);
  for (const Dim::Factor& factor : b.factors()) result.factors_[static_cast<std::size_t>(result.count_++)] = factor;
  result.evaluate();
  return result;
}

Dim operator/(const Dim& a, const Dim& b) {
  WEFT_CHECK(b.value_ != 0 && a.value_ % b.value_ == 0, "the extent {} is not divisible by {}: {} is no multiple of {}",
             a.str(), b.str(), a.value_, b.value_);
  Dim result = a;
  Dim rest = b;
  for (int i = 0; i < rest.count_;) {
    const auto at = std::find_if(
        result.factors_.begin(), result.factors_.begin() + result.count_,
        [&](const Dim::Factor& f) { return f.symbol == rest.factors_[static_cast<std::size_t>(i)].symbol; });
    if (at == result.factors_.begin() + result.count_) {
      ++i;
      continue;
    }
    std::move(at + 1, result.factors_.begin() + result.count_, at);
    --result.count_;
    std::move(rest.factors_.begin() + i + 1, rest.factors_.begin() + rest.count_, rest.factors_.begin() + i);
    --rest.count_;
  }
  rest.evaluate();
  if (rest.count_ > 0 || result.number_ % rest.number_ != 0) return Dim(a.value_ / b.value_);
  result.number_ /= rest.number_;
  result.evaluate();
  return result;
}

void Shape::no_axis(int axis) const {
  WEFT_FAIL("there is no axis {} in {}, which has {}", axis, str(), rank() == 0 ? "none" : fmt::format("{}", rank()));
}

std::int64_t Shape::count() const {
  std::int64_t count = 1;
  bool wraps = false;
  for (const Dim& dim : dims_) {
    if (dim.value() == 0) return 0;
    wraps = __builtin_mul_overflow(count, dim.value(), &count) || wraps;
  }
  WEFT_CHECK(!wraps, "{} has more than 2^63 elements", str());
  return count;
}

void TensorType::check() const {
  for (const Dim& dim : shape) WEFT_CHECK(dim.value() >= 0, "extents must not be negative, got {}", shape.str());
  WEFT_CHECK(shape.count() <= most_bytes / static_cast<std::int64_t>(size_of(dtype)),
             "{} has more bytes than a process can address (2^47)", str());
}

std::vector<std::int64_t> Shape::extents() const {
  std::vector<std::int64_t> extents;
  extents.reserve(dims_.size());
  for (const Dim& dim : dims_) extents.push_back(dim.value());
  return extents;
}

bool Shape::has(Symbol symbol) const {
  return std::ranges::any_of(dims_, [&](const Dim& dim) { return dim.has(symbol); });
}

Shape Shape::with(Symbol symbol, std::int64_t value) const {
  Shape result = *this;
  for (Dim& dim : result.dims_) dim = dim.with(symbol, value);
  return result;
}

std::string Shape::str() const {
  std::string text;
  for (const Dim& dim : dims_) text += (text.empty() ? "" : ", ") + dim.str();
  return "[" + text + "]";
}

Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<Dim> dims;
  dims.reserve(static_cast<std::size_t>(rank));
  for (int axis = 0; axis < rank; ++axis) {
    const int ia = axis - (rank - a.rank());
    const int ib = axis - (rank - b.rank());
    const Dim da = ia >= 0 ? a[ia] : Dim(1);
    const Dim db = ib >= 0 ? b[ib] : Dim(1);
    WEFT_CHECK(da == db || da.value() == 1 || db.value() == 1,
               "shapes {} and {} do not broadcast: axis {} has {} and {}", a.str(), b.str(), axis - rank, da.value(),
               db.value());
    if (da.value() == 1 && db.value() != 1) dims.push_back(db);
    else if (db.value() == 1 && da.value() != 1) dims.push_back(da);
    else dims.push_back(da.is_named() ? da : db);
  }
  return Shape(std::move(dims));
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int axis = 1; axis <= from.rank(); ++axis)
    if (from.extent(-axis) != 1 && from.extent(-axis) != to.extent(-axis)) return false;
  return true;
}

int normalize_axis(std::int64_t axis, int rank) {
  WEFT_CHECK(axis >= -rank && axis < rank, "axis {} is outside a tensor of rank {}: expected {} to {}", axis, rank,
             -rank, rank - 1);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::string TensorType::str() const { return std::string(name_of(dtype)) + shape.str(); }

}  // namespace weft
