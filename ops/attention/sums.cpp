#include <weft/ops/attention/sums.h>
#include <weft/runtime/allocate.h>

#include <algorithm>
#include <set>

namespace weft {

std::vector<int> summed_captures(const Attributes& attributes) {
  std::set<int> captures;
  if (const ScoreFunction* derivative = score_function(attributes, "score_derivative"); derivative != nullptr)
    for (const auto& gradient : derivative->gradients) captures.insert(gradient.capture);
  return {captures.begin(), captures.end()};
}

std::vector<TensorType> sum_types(const OpView& view, int first_capture) {
  std::vector<TensorType> types;
  if (view.attributes.flag("d_bias")) types.push_back(view.type(AttentionIn::bias));
  for (const int capture : summed_captures(view.attributes)) types.push_back(view.type(first_capture + capture));
  return types;
}

AttentionSums::AttentionSums(const OpView& view, AttentionShape& shape, int first_capture)
    : has_bias_(view.attributes.flag("d_bias")) {
  const ScoreFunction* derivative = score_function(view.attributes, "score_derivative");
  int next = 3;
  const auto add = [&](int operand) -> Target& {
    const TensorType& type = view.type(operand);
    return targets_.emplace_back(Target{.output = next++,
                                        .sources = {},
                                        .dtype = type.dtype,
                                        .strides = ScoreStrides(type.shape),
                                        .count = type.count(),
                                        .per_task = type.count() <= small});
  };
  if (has_bias_) add(AttentionIn::bias);
  for (const int capture : summed_captures(view.attributes)) {
    Target& target = add(first_capture + capture);
    for (const auto& gradient : derivative->gradients)
      if (gradient.capture == capture) target.sources.push_back(gradient);
    if (target.sources.front().ids >= 0) target.strides = {};
  }
  for (const Target& target : targets_) {
    cut_batch_ = cut_batch_ && (target.per_task || target.strides.batch != 0);
    cut_heads_ = cut_heads_ && (target.per_task || target.strides.head != 0);
  }

  shape.parallel_heads = (cut_batch_ ? shape.batch : 1) * (cut_heads_ ? shape.kv_heads : 1);
  const std::int64_t chunks = shape.k_chunks();
  const DType wide = view.type(AttentionIn::q).dtype == f64 ? f64 : f32;
  for (Target& target : targets_) {
    target.copies = target.per_task ? shape.parallel_heads * chunks : target.strides.key != 0 ? 1 : chunks;
    target.in_output = target.copies == 1 && target.dtype == wide;
    if (target.in_output) continue;
    target.offset = bytes_;
    bytes_ += aligned(static_cast<std::size_t>(target.copies * target.count) * size_of(wide));
  }
}

}  // namespace weft
