#include <weft/graph/sources.h>

namespace weft {
namespace {

std::vector<TensorType> declared(const OpView& view) {
  return {{view.attributes.dtype("dtype"), view.attributes.shape("shape")}};
}

OpDef source(std::string name, std::string law) {
  return {.name = std::move(name),
          .law = std::move(law),
          .least_inputs = 0,
          .most_inputs = 0,
          .infer = declared,
          .traits = {.recomputable = false, .source = true}};
}

}  // namespace

const OpDef& input_op() {
  static const OpDef op = source("input", "fed by each run");
  return op;
}
const OpDef& parameter_op() {
  static const OpDef op = source("parameter", "kept by the Store, trained");
  return op;
}
const OpDef& state_op() {
  static const OpDef op = source("state", "kept by the Store");
  return op;
}
const OpDef& constant_op() {
  static const OpDef op = source("constant", "fixed at build time");
  return op;
}

}  // namespace weft
