// Copies between a strided and a contiguous tensor, which the kernels of transpose, broadcast_to and slice share. Only
// the size of an element matters, not its dtype. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/shape.h>
#include <weft/runtime/kernel.h>

#include <array>
#include <cstdint>
#include <vector>

namespace weft {

/// out[i] = in[offset + sum_a index_a(i) strides[a]], index over `extents` in row-major order.
class Strided {
 public:
  static constexpr int most_axes = 8;
  Strided(const std::vector<std::int64_t>& extents, const std::vector<std::int64_t>& strides, std::int64_t offset = 0);

  /// Contiguous `out` from strided `in`.
  void gather(std::byte* out, const std::byte* in, std::size_t element) const;
  /// Strided `out` from contiguous `in`; elements that no index reaches stay as they are.
  void scatter(std::byte* out, const std::byte* in, std::size_t element) const;

 private:
  template <class T, bool gathers>
  void move(T* out, const T* in) const;
  template <bool gathers>
  void dispatch(std::byte* out, const std::byte* in, std::size_t element) const;

  std::array<std::int64_t, most_axes> extents_{}, strides_{};
  int axes_ = 0;  ///< outer axes; the innermost is the row
  std::int64_t row_ = 1, step_ = 1, rows_ = 1, offset_ = 0;
};

/// Row-major strides of a shape.
std::vector<std::int64_t> strides_of(const Shape& shape);

}  // namespace weft
