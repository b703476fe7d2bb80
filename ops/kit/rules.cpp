#include <weft/ops/kit/rules.h>

#include <algorithm>

namespace weft {

void expect_float(const OpView& view, int i) {
  WEFT_CHECK(is_float(view.type(i).dtype), "operand {} must be of a floating type, got {}", i, view.type(i).str());
}

void expect_dtype(const OpView& view, int i, DType dtype) {
  WEFT_CHECK(view.type(i).dtype == dtype, "operand {} must be {}, got {}; hint: cast(x, {})", i, name_of(dtype),
             view.type(i).str(), name_of(dtype));
}

void expect_integer(const OpView& view, int i) {
  WEFT_CHECK(is_integer(view.type(i).dtype), "operand {} must be i32 or i64, got {}", i, view.type(i).str());
}

void expect_same_dtype(const OpView& view) {
  int first = -1;
  for (int i = 0; i < view.inputs(); ++i) {
    if (!view.has(i)) continue;
    if (first < 0) first = i;
    WEFT_CHECK(view.type(i).dtype == view.type(first).dtype,
               "operands must have one dtype, got {} and {}; hint: cast(x, {})", name_of(view.type(first).dtype),
               name_of(view.type(i).dtype), name_of(view.type(first).dtype));
  }
}

void expect_rank(const OpView& view, int i, int rank, std::string_view what) {
  WEFT_CHECK(view.shape(i).rank() == rank, "{} must have rank {}, got {}", what, rank, view.shape(i).str());
}

void expect_shape(const OpView& view, int i, const Shape& shape, std::string_view what) {
  WEFT_CHECK(view.shape(i) == shape, "{} must be {}, got {}", what, shape.str(), view.shape(i).str());
}

std::vector<TensorType> same_as_input(const OpView& view) { return {view.type(0)}; }

std::vector<TensorType> same_as_float_input(const OpView& view) {
  expect_float(view, 0);
  return {view.type(0)};
}

std::vector<TensorType> broadcast_operands(const OpView& view) {
  expect_same_dtype(view);
  Shape shape = view.shape(0);
  for (int i = 1; i < view.inputs(); ++i) shape = broadcast(shape, view.shape(i));
  return {{view.type(0).dtype, shape}};
}

std::vector<TensorType> broadcast_to_bool(const OpView& view) {
  return {{boolean, broadcast_operands(view).front().shape}};
}

std::vector<TensorType> shape_attribute(const OpView& view) {
  return {{view.attributes.dtype("dtype"), view.attributes.shape("shape")}};
}

std::vector<BatchState> every_output(const OpView& view, const BatchState& state) {
  return std::vector<BatchState>(view.op.outputs.size(), state);
}

int only_batched(std::span<const BatchState> in) {
  int found = -1;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (in[i].kind != BatchState::Kind::free) found = found == -1 ? static_cast<int>(i) : -2;
  return found;
}

namespace {

// The batch's place in the output, where operands are aligned at the last axis; mixed when two operands disagree.
BatchState aligned(const OpView& view, std::span<const BatchState> in) {
  BatchState result;
  bool placed = false, mixed = false;
  for (int i = 0; i < view.inputs(); ++i) {
    const BatchState& state = in[static_cast<std::size_t>(i)];
    if (!view.has(i) || state.kind == BatchState::Kind::free) continue;
    if (state.kind != BatchState::Kind::split) mixed = true;
    if (!state.in_shape()) continue;
    const BatchState here = state.moved_to(state.axis + view.out_type(0).shape.rank() - view.shape(i).rank());
    if (placed && (here.axis != result.axis || here.outer != result.outer || here.inner != result.inner)) mixed = true;
    if (!placed) result = here;
    placed = true;
  }
  if (mixed) return result.as_mixed();
  return placed ? result : BatchState{};
}

}  // namespace

std::vector<BatchState> same_axis(const OpView& view, std::span<const BatchState> in) {
  return every_output(view, aligned(view, in));
}

std::vector<BatchState> linear_same_axis(const OpView& view, std::span<const BatchState> in) {
  bool all_summed = true;
  for (int i = 0; i < view.inputs(); ++i)
    if (view.has(i)) all_summed &= in[static_cast<std::size_t>(i)].kind == BatchState::Kind::summed;
  return every_output(view, all_summed ? BatchState::summed() : aligned(view, in));
}

template <int axes>
std::vector<BatchState> rows_independent(const OpView& view, std::span<const BatchState> in) {
  const BatchState& state = in[0];
  for (std::size_t i = 1; i < in.size(); ++i)
    if (in[i].kind != BatchState::Kind::free) return every_output(view, aligned(view, in).as_mixed());
  if (state.kind == BatchState::Kind::free) return every_output(view, {});
  const bool row = state.kind == BatchState::Kind::split && state.axis < view.shape(0).rank() - axes;
  return every_output(view, row ? state : state.as_mixed());
}

template std::vector<BatchState> rows_independent<1>(const OpView&, std::span<const BatchState>);
template std::vector<BatchState> rows_independent<2>(const OpView&, std::span<const BatchState>);

std::vector<BatchState> from_shape(const OpView& view, std::span<const BatchState>) {
  std::vector<BatchState> states;
  for (const TensorType& type : view.out) {
    static const Symbol batch("batch");
    states.push_back(locate_batch(type.shape, batch));
  }
  return states;
}

}  // namespace weft
