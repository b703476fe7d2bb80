#include <weft/graph/registry.h>
#include <weft/graph/nearest.h>
#include <weft/graph/sources.h>

#include <algorithm>

namespace weft {
void Registry::add(const OpDef& op) {
  WEFT_CHECK(!op.name.empty(), "an op needs a name");
  WEFT_CHECK(op.infer, "the op '{}' needs a shape rule (.infer)", op.name);
  if (!op.traits.source) {
    WEFT_CHECK(op.batch, "the op '{}' needs a batch rule (.batch), such as same_axis", op.name);
    WEFT_CHECK(!op.kernels.empty(), "the op '{}' needs a kernel (.kernels)", op.name);
    WEFT_CHECK(!op.samples.empty(), "the op '{}' needs samples (.samples): they are its tests", op.name);
  }
  const auto at = std::lower_bound(ops_.begin(), ops_.end(), op.name,
                                   [](const OpDef* a, const std::string& name) { return a->name < name; });
  if (at != ops_.end() && (*at)->name == op.name) {
    WEFT_CHECK(*at == &op, "an op named '{}' is registered already", op.name);
    return;
  }
  ops_.insert(at, &op);
}

const OpDef* Registry::find(std::string_view name) const {
  const auto at = std::lower_bound(ops_.begin(), ops_.end(), name,
                                   [](const OpDef* a, std::string_view n) { return a->name < n; });
  return at != ops_.end() && (*at)->name == name ? *at : nullptr;
}

const OpDef& Registry::at(std::string_view name) const {
  if (const OpDef* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const OpDef* op : ops_) names.push_back(op->name);
  WEFT_FAIL("no op is named '{}'; hint: the nearest are {}", name, nearest(name, names));
}

std::vector<const OpDef*> Registry::all() const { return ops_; }

Registry& registry() {
  static Registry instance = [] {
    Registry sources;
    for (const OpDef* op : {&input_op(), &parameter_op(), &state_op(), &constant_op()}) sources.add(*op);
    return sources;
  }();
  return instance;
}

}  // namespace weft
