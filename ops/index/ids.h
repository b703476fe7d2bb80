// Reads operands of ids, i32 or i64, in kernels and checks their range. Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/kernel.h>

#include <string>
#include <string_view>

namespace weft {

/// The indices of element i of a tensor of this shape, as text: "1, 0, 2".
std::string place_of(const Shape& shape, std::int64_t i);

class Ids {
 public:
  /// Operand i, whose elements must be in [0, limit); `what` ("id") and `of` ("row of the table") word the error.
  Ids(const KernelContext& context, int operand, std::int64_t limit, std::string_view what, std::string_view of);

  std::int64_t count() const { return count_; }
  std::int64_t unchecked(std::int64_t i) const { return narrow_ != nullptr ? narrow_[i] : wide_[i]; }
  /// UserError that names the id and its place if it is outside [0, limit).
  std::int64_t operator[](std::int64_t i) const {
    const std::int64_t id = unchecked(i);
    if (id < 0 || id >= limit_) fail(i);
    return id;
  }

 private:
  [[noreturn]] void fail(std::int64_t i) const;

  const std::int32_t* narrow_ = nullptr;
  const std::int64_t* wide_ = nullptr;
  const Shape* shape_;
  std::int64_t limit_, count_;
  std::string_view what_, of_;
};

}  // namespace weft
