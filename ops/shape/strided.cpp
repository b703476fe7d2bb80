#include <weft/ops/shape/strided.h>
#include <weft/runtime/parallel.h>

#include <algorithm>
#include <cstring>

namespace weft {

std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.rank()));
  std::int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[static_cast<std::size_t>(axis)] = stride;
    stride *= shape.extent(axis);
  }
  return strides;
}

Strided::Strided(const std::vector<std::int64_t>& extents, const std::vector<std::int64_t>& strides,
                 std::int64_t offset)
    : offset_(offset) {
  // Axes that follow one another in memory are one; the last is the row.
  for (std::size_t a = 0; a < extents.size(); ++a) {
    if (extents[a] == 1) continue;
    const auto last = static_cast<std::size_t>(axes_ - 1);
    if (axes_ > 0 && strides_[last] == strides[a] * extents[a]) {
      extents_[last] *= extents[a];
      strides_[last] = strides[a];
      continue;
    }
    WEFT_CHECK(axes_ < most_axes, "more than {} axes that cannot be merged", most_axes);
    extents_[static_cast<std::size_t>(axes_)] = extents[a];
    strides_[static_cast<std::size_t>(axes_++)] = strides[a];
  }
  if (axes_ > 0) {
    --axes_;
    row_ = extents_[static_cast<std::size_t>(axes_)];
    step_ = strides_[static_cast<std::size_t>(axes_)];
  }
  for (int a = 0; a < axes_; ++a) rows_ *= extents_[static_cast<std::size_t>(a)];
}

template <class T, bool gathers>
void Strided::move(T* out, const T* in) const {
  if (rows_ == 0 || row_ == 0) return;
  const std::int64_t chunk = std::max<std::int64_t>(1, 8192 / row_);  // rows of a tile, by shape alone
  parallel_for((rows_ + chunk - 1) / chunk, [&](std::int64_t tile, int) {
    const std::int64_t end = std::min(rows_, (tile + 1) * chunk);
    for (std::int64_t row = tile * chunk; row < end; ++row) {
      std::int64_t at = offset_, rest = row;
      for (int a = axes_ - 1; a >= 0; --a) {
        const auto i = static_cast<std::size_t>(a);
        at += rest % extents_[i] * strides_[i];
        rest /= extents_[i];
      }
      const T* from = gathers ? in + at : in + row * row_;
      T* to = gathers ? out + row * row_ : out + at;
      if (step_ == 1) {
        std::memcpy(to, from, static_cast<std::size_t>(row_) * sizeof(T));
      } else if (gathers) {
        for (std::int64_t i = 0; i < row_; ++i) to[i] = from[i * step_];
      } else {
        for (std::int64_t i = 0; i < row_; ++i) to[i * step_] = from[i];
      }
    }
  });
}

template <bool gathers>
void Strided::dispatch(std::byte* out, const std::byte* in, std::size_t element) const {
  auto as = [&]<class T>(T) { move<T, gathers>(reinterpret_cast<T*>(out), reinterpret_cast<const T*>(in)); };
  switch (element) {
    case 1:
      return as(std::uint8_t{});
    case 2:
      return as(std::uint16_t{});
    case 4:
      return as(std::uint32_t{});
    case 8:
      return as(std::uint64_t{});
    default:
      WEFT_INVARIANT(false, "elements of {} bytes", element);
  }
}

void Strided::gather(std::byte* out, const std::byte* in, std::size_t element) const {
  dispatch<true>(out, in, element);
}
void Strided::scatter(std::byte* out, const std::byte* in, std::size_t element) const {
  dispatch<false>(out, in, element);
}

}  // namespace weft
