#include <weft/runtime/tensor.h>

#include <fmt/ranges.h>

#include <cstring>
#include <numeric>
#include <utility>

namespace weft {
namespace {

std::int64_t count(const Tensor::Extents& extents) {
  std::int64_t size = 1;
  for (std::int64_t extent : extents) {
    WEFT_CHECK(extent >= 0, "an extent of a tensor is negative: {}", extent);
    WEFT_CHECK(extent == 0 || size <= INT64_MAX / extent, "a tensor has too many elements");
    size *= extent;
  }
  return size;
}

double load(const std::byte* at, DType type) {
  auto read = [at]<class T>(T) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (type) {
    case DType::f32:
      return static_cast<double>(read(0.0F));
    case DType::f64:
      return read(0.0);
    case DType::bf16:
      return static_cast<double>(static_cast<float>(read(bfloat16{})));
    case DType::f16:
      return static_cast<double>(static_cast<float>(read(float16{})));
    case DType::i32:
      return static_cast<double>(read(std::int32_t{0}));
    case DType::i64:
      return static_cast<double>(read(std::int64_t{0}));
    case DType::boolean:
      return read(std::uint8_t{0}) != 0 ? 1.0 : 0.0;
  }
  return 0;
}

void store(std::byte* at, DType type, double value) {
  auto write = [at](auto converted) { std::memcpy(at, &converted, sizeof converted); };
  switch (type) {
    case DType::f32:
      return write(static_cast<float>(value));
    case DType::f64:
      return write(value);
    case DType::bf16:
      return write(bfloat16(static_cast<float>(value)));
    case DType::f16:
      return write(float16(static_cast<float>(value)));
    case DType::i32:
      return write(static_cast<std::int32_t>(value));
    case DType::i64:
      return write(static_cast<std::int64_t>(value));
    case DType::boolean:
      return write(static_cast<std::uint8_t>(value != 0));
  }
}

}  // namespace

Tensor::Tensor(DType type, Extents extents) : type_(type), extents_(std::move(extents)), size_(count(extents_)) {
  WEFT_CHECK(static_cast<std::size_t>(size_) <= machine_bytes() / size_of(type_),
             "a tensor {}[{}] has more bytes than this process may use ({})", name_of(type_), fmt::join(extents_, ", "),
             machine_bytes());
  auto buffer = allocate_aligned(bytes());
  data_ = buffer.get();
  owner_ = std::move(buffer);
  std::memset(data_, 0, bytes());
}

Tensor::Tensor(DType type, Extents extents, std::byte* data, std::shared_ptr<void> owner)
    : type_(type), extents_(std::move(extents)), size_(count(extents_)), data_(data), owner_(std::move(owner)) {}

void Tensor::take(Tensor& other) noexcept {
  type_ = std::exchange(other.type_, f32);
  extents_ = std::exchange(other.extents_, {});
  size_ = std::exchange(other.size_, 0);
  data_ = std::exchange(other.data_, nullptr);
  owner_ = std::exchange(other.owner_, nullptr);
}

void Tensor::not_there() const {
  WEFT_FAIL(
      "there is no tensor here: it is Tensor() or was moved from; hint: Tensor(f32, {{2, 3}}), or if (!x.empty())");
}

std::string Tensor::type_str() const {
  if (empty()) return "no tensor";
  std::string text;
  for (std::int64_t extent : extents_) text += (text.empty() ? "" : ", ") + fmt::format("{}", extent);
  return fmt::format("{}[{}]", name_of(type_), text);
}

void Tensor::wrong_type(DType type) const {
  WEFT_FAIL("a tensor of {} was read as {}; hint: at(i) and item() read any type, cast({}) converts", name_of(type_),
            name_of(type), name_of(type));
}

void Tensor::expect_count(std::size_t values) const {
  WEFT_CHECK(std::cmp_equal(values, size_), "a tensor of {} elements was given {} values", size_, values);
}

void Tensor::wrong_axis(int axis) const {
  WEFT_FAIL("axis {} is outside a tensor of rank {}: {}", axis, rank(), type_str());
}

double Tensor::item() const {
  expect_there();
  WEFT_CHECK(size_ == 1, "item() needs a tensor of one element, {} has {}; hint: at(i)", type_str(), size_);
  return load(data_, type_);
}

double Tensor::at(std::int64_t index) const {
  expect_there();
  WEFT_CHECK(index >= 0 && index < size_, "there is no element {} of {}: expected 0 to {}", index, type_str(),
             size_ - 1);
  return load(data_ + static_cast<std::size_t>(index) * size_of(type_), type_);
}

Tensor Tensor::clone() const {
  expect_there();
  Tensor copy(type_, extents_);
  if (bytes() > 0) std::memcpy(copy.data_, data_, bytes());
  return copy;
}

Tensor Tensor::cast(DType type) const {
  expect_there();
  if (type == type_) return clone();
  Tensor result(type, extents_);
  if (is_integer(type_) && is_integer(type)) {  // never through double: i64 has 64 bits of value
    for (std::int64_t i = 0; i < size_; ++i) {
      if (type == i32) result.data<std::int32_t>()[i] = static_cast<std::int32_t>(data<std::int64_t>()[i]);
      else result.data<std::int64_t>()[i] = data<std::int32_t>()[i];
    }
    return result;
  }
  for (std::int64_t i = 0; i < size_; ++i)
    store(result.data_ + static_cast<std::size_t>(i) * size_of(type), type, at(i));
  return result;
}

Tensor Tensor::reshaped(Extents extents) const {
  expect_there();
  Tensor view(type_, std::move(extents), data_, owner_);
  WEFT_CHECK(view.size_ == size_, "a tensor of {} elements cannot be seen as {} elements: {} is no {}", size_,
             view.size_, type_str(), view.type_str());
  return view;
}

Tensor Tensor::rows(std::int64_t first, std::int64_t last) const {
  expect_there();
  WEFT_CHECK(rank() > 0 && 0 <= first && first <= last && last <= extents_[0],
             "there are no rows {} to {} of {}: expected 0 <= first <= last <= {}", first, last, type_str(),
             rank() > 0 ? extents_[0] : 0);
  Extents extents = extents_;
  extents[0] = last - first;
  const std::int64_t row = extents_[0] == 0 ? 0 : size_ / extents_[0];
  return {type_, std::move(extents), data_ + static_cast<std::size_t>(first * row) * size_of(type_), owner_};
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.extents() == b.extents() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

}  // namespace weft
