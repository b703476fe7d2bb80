// Attributes of a node: the options of an op as plain data, so that nodes can be printed, compared and stored.
#pragma once

#include <weft/graph/shape.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace weft {

/// Contents of a constant: row-major bytes of a tensor of `type`.
struct Constant {
  TensorType type;
  std::vector<std::byte> bytes;
  friend bool operator==(const Constant&, const Constant&) = default;
};

/// An attribute that only the rules of one op can read, such as the members of a region (runtime/region/region.h).
class Description {
 public:
  Description() = default;
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  virtual ~Description() = default;
  virtual std::string str() const = 0;
  virtual bool same(const Description& other) const = 0;
};

using Attribute = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, Shape, DType,
                               std::shared_ptr<const Constant>, std::shared_ptr<const Description>>;

std::string str(const Attribute& attribute);
bool same(const Attribute& a, const Attribute& b);

/// A small map from name to attribute, sorted by name.
class Attributes {
 public:
  struct Entry {
    std::string name;
    Attribute value;
  };

  Attributes() = default;
  Attributes(std::initializer_list<Entry> entries);

  const Attribute* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  void set(std::string_view name, Attribute value);
  Attributes with(std::string_view name, Attribute value) const;

  /// The attribute `name` of type T; UserError if it is missing or of another type.
  template <class T>
  const T& get(std::string_view name) const {
    const Attribute* found = find(name);
    if (found == nullptr || !std::holds_alternative<T>(*found)) no_such(name);
    return std::get<T>(*found);
  }
  template <class T>
  T get_or(std::string_view name, T otherwise) const {
    return has(name) ? get<T>(name) : otherwise;
  }
  std::int64_t integer(std::string_view name) const { return get<std::int64_t>(name); }
  double number(std::string_view name) const { return get<double>(name); }
  bool flag(std::string_view name) const { return get_or<bool>(name, false); }
  const std::string& text(std::string_view name) const { return get<std::string>(name); }
  const std::vector<std::int64_t>& integers(std::string_view name) const {
    return get<std::vector<std::int64_t>>(name);
  }
  const Shape& shape(std::string_view name) const { return get<Shape>(name); }
  DType dtype(std::string_view name) const { return get<DType>(name); }

  /// A copy with the extent named `symbol` set to `value` in every shape.
  Attributes with_extent(Symbol symbol, std::int64_t value) const;

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  bool empty() const { return entries_.empty(); }
  std::string str() const;  ///< "{axis=1, p=0.1}", "" when empty
  friend bool operator==(const Attributes& a, const Attributes& b);

 private:
  [[noreturn]] static void no_such(std::string_view name);

  std::vector<Entry> entries_;
};

}  // namespace weft
