// Extents, shapes and static tensor types.
#pragma once

#include <weft/graph/dtype.h>
#include <weft/graph/error.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// A named size, interned: equal names are equal symbols.
class Symbol {
 public:
  constexpr Symbol() = default;
  explicit Symbol(std::string_view name);
  const std::string& name() const;
  friend constexpr bool operator==(Symbol, Symbol) = default;

 private:
  std::uint32_t id_ = 0;
};

/// One extent: a number, a named size (`graph.dim("batch", 12)`), or a product of those. The factors keep the
/// order in which they were multiplied (outermost first; the number is innermost), so that a merged axis
/// still tells where the batch lies in it.
class Dim {
 public:
  struct Factor {
    Symbol symbol;
    std::int64_t value = 1;
  };
  static constexpr int max_factors = 4;

  constexpr Dim() = default;
  template <std::integral T>
  constexpr Dim(T value) : value_(static_cast<std::int64_t>(value)), number_(value_) {}  // NOLINT: implicit
  static Dim named(std::string_view name, std::int64_t value);

  constexpr std::int64_t value() const { return value_; }
  constexpr std::int64_t number() const { return number_; }  ///< the unnamed factor
  std::span<const Factor> factors() const { return {factors_.data(), static_cast<std::size_t>(count_)}; }
  bool is_named() const { return count_ > 0; }
  bool has(Symbol symbol) const;
  /// The same extent with `symbol` set to `value`.
  Dim with(Symbol symbol, std::int64_t value) const;
  std::string str() const;

  /// UserError: the product does not fit 63 bits.
  friend Dim operator*(const Dim& a, const Dim& b);
  /// Exact division; UserError if b does not divide a.
  friend Dim operator/(const Dim& a, const Dim& b);
  friend constexpr bool operator==(const Dim& a, const Dim& b) { return a.value_ == b.value_; }

 private:
  void evaluate();

  std::int64_t value_ = 1;
  std::int64_t number_ = 1;
  int count_ = 0;
  std::array<Factor, max_factors> factors_{};
};

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims) : dims_(dims) {}
  explicit Shape(std::vector<Dim> dims) : dims_(std::move(dims)) {}
  explicit Shape(std::span<const std::int64_t> extents) : dims_(extents.begin(), extents.end()) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  /// Number of elements. UserError: it does not fit 63 bits.
  std::int64_t count() const;
  /// Dim of `axis`; negative axes count from the end.
  /// UserError: the shape has no such axis.
  const Dim& operator[](int axis) const { return dims_[at(axis)]; }
  Dim& operator[](int axis) { return dims_[at(axis)]; }
  std::int64_t extent(int axis) const { return (*this)[axis].value(); }
  std::vector<std::int64_t> extents() const;
  const std::vector<Dim>& dims() const { return dims_; }
  auto begin() const { return dims_.begin(); }
  auto end() const { return dims_.end(); }
  void push_back(const Dim& dim) { dims_.push_back(dim); }
  /// Before `axis`, which may be the rank.
  void insert(int axis, const Dim& dim) {
    if (axis < 0 || axis > rank()) no_axis(axis);
    dims_.insert(dims_.begin() + axis, dim);
  }
  void erase(int axis) { dims_.erase(dims_.begin() + static_cast<std::ptrdiff_t>(at(axis))); }
  bool has(Symbol symbol) const;
  Shape with(Symbol symbol, std::int64_t value) const;
  std::string str() const;  ///< "[batch=12, 64]"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::size_t at(int axis) const {
    const int front = axis < 0 ? axis + rank() : axis;
    if (front < 0 || front >= rank()) no_axis(axis);
    return static_cast<std::size_t>(front);
  }
  [[noreturn]] void no_axis(int axis) const;

  std::vector<Dim> dims_;
};

/// NumPy broadcasting of two shapes, aligned at the last axis; UserError if an axis disagrees.
Shape broadcast(const Shape& a, const Shape& b);
/// Whether `from` broadcasts to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);
/// `axis` counted from the front; UserError if it is outside [-rank, rank).
int normalize_axis(std::int64_t axis, int rank);

/// What is known of a tensor before anything runs.
struct TensorType {
  DType dtype = f32;
  Shape shape;

  std::int64_t count() const { return shape.count(); }
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * size_of(dtype); }
  /// UserError: a negative extent, or more bytes than a process can address. Every type in a graph has passed this, so
  /// that counts and sums of bytes do not wrap.
  void check() const;
  std::string str() const;  ///< "f32[batch=12, 64]"
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

}  // namespace weft
