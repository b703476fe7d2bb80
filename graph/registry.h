// The ops that are known by name. register_all() (ops/all.h) fills it with the library's; users add theirs, with the
// same rights: registry().add(my_op()).
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
  /// Null if there is none.
  const OpDef* find(std::string_view name) const;
  /// UserError that lists the nearest names.
  const OpDef& at(std::string_view name) const;
  /// Sorted by name.
  std::vector<const OpDef*> all() const;

 private:
  std::vector<const OpDef*> ops_;
};

/// The process's registry; the sources (input, parameter, state, constant) are in it from the start.
Registry& registry();

}  // namespace weft
