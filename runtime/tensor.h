// A tensor at run time: an element type, extents, and an aligned, contiguous, row-major buffer.
//
// This header stays free of xtensor; <weft/runtime/tensor_xt.h> (not part of <weft/weft.h>) adds
// `tensor.as<float>()`, an xtensor view without a copy, and `Tensor::from(expression)`.
#pragma once

#include <weft/graph/dtype.h>
#include <weft/graph/error.h>
#include <weft/runtime/allocate.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace weft {

class Tensor {
 public:
  using Extents = std::vector<std::int64_t>;

  /// No tensor at all: no element, not even a scalar's. Reading, copying or feeding it is a UserError.
  Tensor() = default;
  Tensor(const Tensor&) = default;
  Tensor& operator=(const Tensor&) = default;
  Tensor(Tensor&& other) noexcept { take(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }
  ~Tensor() = default;
  /// A tensor of zeros that owns its buffer. UserError: a negative extent, or more bytes than the machine has.
  Tensor(DType type, Extents extents);
  /// A view of `data`, kept alive by `owner` (null: the caller keeps it alive).
  Tensor(DType type, Extents extents, std::byte* data, std::shared_ptr<void> owner = nullptr);

  /// From values in row-major order: Tensor::of<float>({2, 2}, {1, 2, 3, 4}).
  template <class T>
  static Tensor of(Extents extents, std::initializer_list<T> values) {
    return of<T>(std::move(extents), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor of(Extents extents, std::span<const T> values) {
    Tensor tensor(dtype_of<T>, std::move(extents));
    tensor.expect_count(values.size());
    T* to = tensor.data<T>();
    for (const T& value : values) *to++ = value;
    return tensor;
  }
  template <class T>
  static Tensor scalar(T value) {
    Tensor tensor(dtype_of<T>, {});
    *tensor.data<T>() = value;
    return tensor;
  }
  /// A copy of an xtensor expression (<weft/runtime/tensor_xt.h>).
  template <class Expression>
  static Tensor from(const Expression& expression);

  DType dtype() const { return type_; }
  const Extents& extents() const { return extents_; }
  /// Negative axes count from the end. UserError: there is no such axis.
  std::int64_t extent(int axis) const {
    if (axis < -rank() || axis >= rank()) wrong_axis(axis);
    return extents_[static_cast<std::size_t>(axis < 0 ? axis + rank() : axis)];
  }
  int rank() const { return static_cast<int>(extents_.size()); }
  /// Number of elements.
  std::int64_t size() const { return size_; }
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * size_of(type_); }
  /// Whether there is no tensor (Tensor(), or one that was moved from). One of no elements is there.
  bool empty() const { return data_ == nullptr; }
  std::string type_str() const;  ///< "f32[2, 3]"

  std::byte* raw() { return data_; }
  const std::byte* raw() const { return data_; }
  template <class T>
  T* data() {
    expect_type(dtype_of<std::remove_const_t<T>>);
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* data() const {
    expect_type(dtype_of<std::remove_const_t<T>>);
    return reinterpret_cast<const T*>(data_);
  }
  template <class T>
  std::span<const T> values() const {
    expect_there();
    return {data<T>(), static_cast<std::size_t>(size_)};
  }
  /// The xtensor view of the buffer, without a copy (<weft/runtime/tensor_xt.h>).
  template <class T>
  auto as();
  template <class T>
  auto as() const;

  /// The one element of a scalar, whatever its type.
  double item() const;
  /// Element `index` in row-major order, as a double.
  double at(std::int64_t index) const;
  /// A deep copy; with `type`, converted element by element.
  Tensor clone() const;
  Tensor cast(DType type) const;
  /// The same buffer under other extents (their product must agree).
  Tensor reshaped(Extents extents) const;
  /// Elements [first, last) along axis 0, without a copy.
  Tensor rows(std::int64_t first, std::int64_t last) const;

 private:
  void take(Tensor& other) noexcept;
  /// UserError where there is no tensor.
  void expect_there() const {
    if (data_ == nullptr) not_there();
  }
  [[noreturn]] void not_there() const;
  void expect_type(DType type) const {
    expect_there();
    if (type != type_) wrong_type(type);
  }
  [[noreturn]] void wrong_type(DType type) const;
  [[noreturn]] void wrong_axis(int axis) const;
  void expect_count(std::size_t values) const;

  DType type_ = f32;
  Extents extents_;
  std::int64_t size_ = 0;
  std::byte* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

/// Same type, extents and bytes.
bool same_bits(const Tensor& a, const Tensor& b);

}  // namespace weft
