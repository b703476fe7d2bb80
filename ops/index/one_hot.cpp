#include <weft/ops/index/one_hot.h>

#include <weft/ops/kit/build.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>

namespace weft {

Value one_hot(const Arg& ids, Dim classes, DType dtype) {
  const auto line = called_at({ids});
  const Value& x = ids.value();
  if (!x.valid()) return x;
  Shape column = x.shape();
  column.push_back(1);
  return cast(equal(reshape(ids, column), iota(x.graph(), classes, x.dtype(), ids.where())), dtype);
}

Dim flat_extent(const Shape& shape, int axes) {
  Dim product = 1;
  for (int axis = 0; axis < axes; ++axis) product = product * shape[axis];
  return product;
}

}  // namespace weft
