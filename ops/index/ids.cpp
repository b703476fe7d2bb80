#include <weft/ops/index/ids.h>

namespace weft {

Ids::Ids(const KernelContext& context, int operand, std::int64_t limit, std::string_view what, std::string_view of)
    : shape_(&context.type(operand).shape), limit_(limit), count_(shape_->count()), what_(what), of_(of) {
  if (context.type(operand).dtype == i32) narrow_ = context.in<std::int32_t>(operand);
  else wide_ = context.in<std::int64_t>(operand);
}

std::string place_of(const Shape& shape, std::int64_t i) {
  std::string place;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    place = fmt::format("{}{}{}", i % shape.extent(axis), place.empty() ? "" : ", ", place);
    i /= shape.extent(axis);
  }
  return place;
}

void Ids::fail(std::int64_t i) const {
  WEFT_FAIL("{} {} at [{}] is no {}: expected 0 to {}, one of {}", what_, unchecked(i), place_of(*shape_, i), of_,
            limit_ - 1, limit_);
}

}  // namespace weft
