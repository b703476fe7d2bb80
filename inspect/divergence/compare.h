// Two tensors against bounds, element by element. Private to inspect/ and testing/.
#pragma once

#include <weft/inspect/divergence/first_divergence.h>
#include <weft/runtime/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// What an element may differ by: the sum of these. All 0: the bits must be the same.
struct Allowance {
  double relative = 0;  ///< times the largest |value| of the tensor
  double absolute = 0;
  double ulps = 0;
  bool exact() const { return relative <= 0 && absolute <= 0 && ulps <= 0; }
};

/// The unit in the last place of `x` in a floating type.
double ulp_of(double x, DType type);
/// "[1, 2]" for a row-major element; "" for a scalar.
std::string index_str(std::int64_t element, const std::vector<std::int64_t>& extents);

/// `found` against `factor * expected`, tensors of the same extents: the element that differs most of those that differ
/// by more than is allowed; none: all agree. `floor` is added to the largest value that `relative` multiplies. Two
/// numbers that are both not finite are equal, unless bits are compared.
std::optional<Divergence> divergence_of(const Tensor& expected, const Tensor& found, const Allowance& allowance,
                                        double factor = 1, double floor = 0);

}  // namespace weft
