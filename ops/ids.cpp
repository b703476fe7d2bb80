#include <weft/ops/ids.h>

namespace weft {

Ids::Ids(const KernelContext& context, int operand, std::int64_t limit, std::string_view what, std::string_view of)
    : shape_(&context.type(operand).shape), limit_(limit), count_(shape_->count()), what_(what), of_(of) {
  if (context.type(operand).dtype == i32) narrow_ = context.in<std::int32_t>(operand);
  else wide_ = context.in<std::int64_t>(operand);
}

void Ids::fail(std::int64_t i) const {
  std::string place;
  std::int64_t rest = i;
  for (int axis = shape_->rank() - 1; axis >= 0; --axis) {
    place = fmt::format("{}{}{}", rest % shape_->extent(axis), place.empty() ? "" : ", ", place);
    rest /= shape_->extent(axis);
  }
  WEFT_FAIL("{} {} at [{}] is no {}: expected 0 to {}, one of {}", what_, unchecked(i), place, of_, limit_ - 1, limit_);
}

}  // namespace weft
