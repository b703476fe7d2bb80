#include <weft/inspect/divergence/compare.h>

#include <weft/runtime/tensor_values.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace weft {

double ulp_of(double x, DType type) {
  int digits = 53, least = -1022;
  if (type == f32) digits = 24, least = -126;
  if (type == bf16) digits = 8, least = -126;
  if (type == f16) digits = 11, least = -14;
  if (!std::isfinite(x)) return 0;
  return std::ldexp(1.0, std::max(x == 0 ? least : std::ilogb(x), least) - (digits - 1));
}

std::string index_str(std::int64_t element, const std::vector<std::int64_t>& extents) {
  std::string text;
  for (std::size_t axis = extents.size(); axis-- > 0;) {
    text = fmt::format("{}{}{}", element % extents[axis], text.empty() ? "" : ", ", text);
    element /= extents[axis];
  }
  return text.empty() ? "" : "[" + text + "]";
}

std::optional<Divergence> divergence_of(const Tensor& expected, const Tensor& found, const Allowance& allowance,
                                        double factor, double floor) {
  const bool floats = is_float(expected.dtype()) && is_float(found.dtype());
  const bool numeric = floats && !allowance.exact();
  const bool bits = !numeric && expected.dtype() == found.dtype();
  const double flat =
      numeric ? allowance.absolute + allowance.relative * std::abs(factor) * (max_abs(expected) + floor) : 0;
  const DType coarser = ulp_of(1, expected.dtype()) > ulp_of(1, found.dtype()) ? expected.dtype() : found.dtype();
  const std::size_t width = size_of(expected.dtype());
  Divergence worst;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double a = factor * expected.at(i), b = found.at(i);
    double error = std::abs(a - b);
    if (!std::isfinite(a) || !std::isfinite(b))
      error = std::isfinite(a) == std::isfinite(b) ? 0 : std::numeric_limits<double>::infinity();
    const double bound = flat + (numeric && allowance.ulps > 0 ? allowance.ulps * ulp_of(a, coarser) : 0);
    const auto at = static_cast<std::size_t>(i) * width;
    if (bits ? std::memcmp(expected.raw() + at, found.raw() + at, width) == 0 : error <= bound) continue;
    if (worst.differing++ > 0 && error <= worst.error) continue;
    worst.element = i;
    worst.expected = a;
    worst.found = b;
    worst.error = error;
    worst.bound = bound;
  }
  if (worst.differing == 0) return std::nullopt;
  worst.extents = found.extents();
  worst.compared = expected.size();
  return worst;
}

}  // namespace weft
