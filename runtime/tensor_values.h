// The numbers of a whole tensor of any type, read as doubles: for reports, checks and tests.
#pragma once

#include <weft/runtime/tensor.h>

#include <cstdint>
#include <vector>

namespace weft {

/// Every element, in row-major order.
std::vector<double> doubles(const Tensor& tensor);

/// Whether no element is NaN or infinite.
bool is_finite(const Tensor& tensor);

/// The largest |x| of the finite elements; 0 if there is none.
double max_abs(const Tensor& tensor);

/// The largest |a - b|, element by element. Where one of the two is not finite it is infinity, where neither is finite
/// it is 0: the order of a sum decides between infinity and NaN. UserError: the sizes differ.
double max_abs_difference(const Tensor& a, const Tensor& b);

/// How the elements are spread.
struct Spread {
  double least = 0, most = 0;  ///< of the finite elements; 0 if there is none
  std::int64_t finite = 0, nan = 0, infinite = 0;
};
Spread spread_of(const Tensor& tensor);

}  // namespace weft
