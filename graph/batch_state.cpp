#include <weft/graph/batch_state.h>

namespace weft {

std::string BatchState::str() const {
  static constexpr const char* names[] = {"free", "split", "summed", "mixed"};
  std::string text = names[static_cast<int>(kind)];
  if (in_shape()) text += fmt::format(" at axis {} ({} x batch x {})", axis, outer, inner);
  return text;
}

BatchState locate_batch(const Shape& shape, Symbol batch) {
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!shape[axis].has(batch)) continue;
    BatchState state = BatchState::split_at(axis);
    bool passed = false;
    for (const Dim::Factor& factor : shape[axis].factors()) {
      if (factor.symbol == batch) passed = true;
      else (passed ? state.inner : state.outer) *= factor.value;
    }
    state.inner *= shape[axis].number();
    return state;
  }
  return {};
}

}  // namespace weft
