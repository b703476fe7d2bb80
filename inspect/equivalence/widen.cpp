#include <weft/graph/rewrite.h>
#include <weft/graph/verify.h>
#include <weft/inspect/equivalence/widen.h>
#include <weft/runtime/tensor.h>

#include <algorithm>

namespace weft {
namespace {

DType wide(DType type) { return is_float(type) ? f64 : type; }

std::shared_ptr<const Constant> wide(const std::shared_ptr<const Constant>& constant) {
  if (wide(constant->type.dtype) == constant->type.dtype) return constant;
  Tensor narrow(constant->type.dtype, constant->type.shape.extents());
  std::ranges::copy(constant->bytes, narrow.raw());
  const Tensor values = narrow.cast(f64);
  auto result = std::make_shared<Constant>();
  result->type.dtype = f64;
  result->type.shape = constant->type.shape;
  result->bytes.assign(values.raw(), values.raw() + values.bytes());
  return result;
}

Attributes wide(const Attributes& attributes) {
  Attributes result = attributes;
  for (const Attributes::Entry& entry : attributes) {
    if (const auto* type = std::get_if<DType>(&entry.value)) result.set(entry.name, wide(*type));
    if (const auto* constant = std::get_if<std::shared_ptr<const Constant>>(&entry.value))
      result.set(entry.name, wide(*constant));
  }
  return result;
}

}  // namespace

Step widen(const Step& step) {
  Rebuild rebuild(step.graph, "widen");
  for (const NodeId id : step.graph.ids()) {
    const Node& node = step.graph.node(id);
    rebuild.keep_with(node, wide(node.attributes));
  }
  Step result = step.over(rebuild.finish());
  result.lowered = false;
  verify(result);
  return result;
}

bool has_narrow_types(const Step& step) {
  return std::ranges::any_of(step.graph.ids(), [&](NodeId id) {
    return std::ranges::any_of(step.graph.node(id).types,
                               [](const TensorType& type) { return is_float(type.dtype) && type.dtype != f64; });
  });
}

}  // namespace weft
