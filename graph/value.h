// Handles to values of a graph, and the arguments of the functions that build nodes.
#pragma once

#include <weft/graph/shape.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

// What a handle refers to lives as long as its graph, not only as long as the handle: of this GCC 14 must be told, or
// `const Node& node = graph.value(ref).node()` is a warning (-Wdangling-reference).
#if __has_cpp_attribute(gnu::no_dangling)
#define WEFT_HANDLE [[gnu::no_dangling]]
#else
#define WEFT_HANDLE
#endif

namespace weft {

struct GraphData;
struct Node;
class Graph;

/// Identity of a node: every transform keeps it for as long as the node means the same.
using NodeId = std::uint32_t;
inline constexpr NodeId no_node = 0xffffffffU;

/// Output `output` of node `node`.
struct ValueRef {
  NodeId node = no_node;
  std::uint32_t output = 0;
  friend constexpr auto operator<=>(const ValueRef&, const ValueRef&) = default;
};

/// A cheap handle: graph, stable id, output. Three states: absent (default constructed: an optional operand that is
/// not given), invalid (the node failed its checks; the error waits in the graph), valid.
class WEFT_HANDLE Value {
 public:
  Value() = default;
  Value(std::shared_ptr<GraphData> graph, ValueRef ref) : graph_(std::move(graph)), ref_(ref) {}

  bool absent() const { return graph_ == nullptr; }
  bool valid() const { return graph_ != nullptr && ref_.node != no_node; }
  explicit operator bool() const { return valid(); }

  /// These throw UserError on an absent or invalid value.
  const TensorType& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  int rank() const { return shape().rank(); }
  const Dim& dim(int axis) const { return shape()[axis]; }
  const Node& node() const;
  std::string name() const;  ///< path of the node, with ".k" for output k > 0

  Graph graph() const;
  const std::shared_ptr<GraphData>& graph_data() const { return graph_; }
  ValueRef ref() const { return ref_; }
  friend bool operator==(const Value&, const Value&) = default;

 private:
  std::shared_ptr<GraphData> graph_;
  ValueRef ref_;
};

/// Several values: the outputs of an op.
class Values : public std::vector<Value> {
 public:
  using std::vector<Value>::vector;
  Values(Value value) { push_back(std::move(value)); }  // NOLINT: implicit
  /// std::out_of_range if there is no value i: rules of users' ops index these.
  const Value& operator[](std::size_t i) const { return at(i); }
  Value& operator[](std::size_t i) { return at(i); }
};

/// A C++ number. An integer stays one: 2^53 + 1 has no double.
class Number {
 public:
  template <class T>
    requires std::integral<T> || std::floating_point<T>
  Number(T number) : real_(static_cast<double>(number)) {  // NOLINT: implicit
    if constexpr (std::integral<T>) {
      const auto integer = static_cast<std::int64_t>(number);
      is_integer_ = std::signed_integral<T> || integer >= 0;  // an unsigned one may need 64 bits
      if (is_integer_) integer_ = integer;
    }
  }
  bool is_integer() const { return is_integer_; }
  std::int64_t integer() const { return integer_; }
  double real() const { return real_; }
  /// Whether real() is the number itself.
  bool is_exact_real() const {
    constexpr std::int64_t exact = std::int64_t{1} << 53;
    return !is_integer_ || (-exact <= integer_ && integer_ <= exact);
  }

 private:
  double real_;
  std::int64_t integer_ = 0;
  bool is_integer_ = false;
};

/// An operand: a Value or a C++ number, and the line that passed it. A number takes the dtype of the tensor beside it,
/// as Python numbers do in PyTorch.
class Arg {
 public:
  Arg(Value value, std::source_location where = std::source_location::current())  // NOLINT: implicit
      : value_(std::move(value)), where_(where) {}
  template <class T>
    requires std::integral<T> || std::floating_point<T>
  Arg(T number, std::source_location where = std::source_location::current())  // NOLINT: implicit
      : number_(number), is_number_(true), where_(where) {}

  bool is_number() const { return is_number_; }
  double number() const { return number_.real(); }
  const Number& exact_number() const { return number_; }
  const Value& value() const { return value_; }
  std::source_location where() const { return where_; }

 private:
  Value value_;
  Number number_ = 0;
  bool is_number_ = false;
  std::source_location where_;
};

}  // namespace weft

template <>
struct std::hash<weft::ValueRef> {
  std::size_t operator()(weft::ValueRef ref) const noexcept {
    return std::hash<std::uint64_t>{}((std::uint64_t{ref.node} << 32U) | ref.output);
  }
};
