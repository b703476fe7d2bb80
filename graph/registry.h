// The registry of ops by name. The library's are in it from the start; a user adds another by registry().add(my_op()),
// with the same rights.
#pragma once

#include <weft/graph/op_def.h>

#include <string_view>
#include <vector>

namespace weft {

class Registry {
 public:
  /// Checks that the definition is whole (name, shape rule, batch rule, a kernel, samples that fit).
  /// The same definition twice is fine; another one under a name that is taken is a UserError.
  void add(const OpDef& op);
  /// A definition must outlive the registry, which only refers to it.
  void add(OpDef&&) = delete;
  /// The op of that name; null if there is none.
  const OpDef* find(std::string_view name) const;
  /// The op of that name; UserError, with the nearest names, if there is none.
  const OpDef& at(std::string_view name) const;
  /// Sorted by name.
  std::vector<const OpDef*> all() const;
  /// Whether it is one of the library's.
  bool is_library(const OpDef& op) const;

 private:
  friend Registry& registry();
  std::vector<const OpDef*> ops_, library_;
};

/// The process's registry.
Registry& registry();

/// Traits::refuses; where an op does not say, only those of the library are trusted not to.
bool may_refuse(const OpDef& op);

namespace detail {
/// Adds every op of the library (ops/all.cpp).
void add_library_ops();
}  // namespace detail

}  // namespace weft
