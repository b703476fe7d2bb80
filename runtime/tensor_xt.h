// Tensors seen through xtensor: t.as<float>() is an xt::xarray_adaptor over the tensor's bytes, without a copy, and
// Tensor::from(expression) copies any xtensor expression in. xtensor stays in headers: no xt type is in a compiled
// signature of weft. Not in <weft/weft.h>: its templates would be a quarter of its compile time.
#pragma once

#include <weft/runtime/tensor.h>
#include <weft/runtime/xtensor.h>

#include <algorithm>

namespace weft {

template <class T>
auto Tensor::as() {
  return xt::adapt(data<T>(), static_cast<std::size_t>(size_), xt::no_ownership(), extents_);
}

template <class T>
auto Tensor::as() const {
  return xt::adapt(data<T>(), static_cast<std::size_t>(size_), xt::no_ownership(), extents_);
}

template <class Expression>
Tensor Tensor::from(const Expression& expression) {
  using T = typename Expression::value_type;
  const auto& shape = expression.shape();
  Tensor tensor(dtype_of<T>, Extents(shape.begin(), shape.end()));
  std::copy(expression.template begin<xt::layout_type::row_major>(),
            expression.template end<xt::layout_type::row_major>(), tensor.data<T>());
  return tensor;
}

}  // namespace weft
