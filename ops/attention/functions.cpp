#include <weft/ops/attention/functions.h>

namespace weft {
namespace {

std::vector<TensorType> types_of(const OpView& view, int first, int count) {
  std::vector<TensorType> types;
  for (int c = 0; c < count; ++c) types.push_back(view.type(first + c));
  return types;
}

}  // namespace

// Captures of the score come first, then those of the pairs.
AttentionFunctions::AttentionFunctions(const OpView& view, int first_capture, const char* score_attribute)
    : first_(first_capture) {
  const AttentionShape shape(view);
  const DType dtype = view.type(AttentionIn::q).dtype == f64 ? f64 : f32;
  const std::int64_t rows = std::min(shape.q_rows(), ScoreProgram::strip_rows), columns = shape.k_rows();
  int first = first_capture;
  if (const ScoreFunction* function = score_function(view.attributes, score_attribute); function != nullptr) {
    score_function_ = view.attributes.get<std::shared_ptr<const Description>>(score_attribute);
    score_ = std::make_unique<ScoreProgram>(*function, dtype, types_of(view, first, function->captured), rows, columns);
    first += function->captured;
  }
  const ScoreFunction* function = score_function(view.attributes, "pairs");
  if (function != nullptr && !pairs_are_static(view)) {
    pair_function_ = view.attributes.get<std::shared_ptr<const Description>>("pairs");
    pairs_ = std::make_unique<ScoreProgram>(*function, dtype, types_of(view, first, function->captured), rows, columns);
  }
}

void AttentionFunctions::captures(const KernelContext& context, CapturePointers& score, CapturePointers& pairs) const {
  int operand = first_;
  for (int c = 0; score_ != nullptr && c < score_->function().captured; ++c)
    score[static_cast<std::size_t>(c)] = context.in_bytes(operand++);
  for (int c = 0; pairs_ != nullptr && c < pairs_->function().captured; ++c)
    pairs[static_cast<std::size_t>(c)] = context.in_bytes(operand++);
}

}  // namespace weft
