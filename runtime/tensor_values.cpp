#include <weft/runtime/tensor_values.h>

#include <weft/runtime/tensor_xt.h>

#include <cmath>
#include <limits>

namespace weft {
namespace {

Tensor as_doubles(const Tensor& tensor) { return tensor.dtype() == f64 ? tensor : tensor.cast(f64); }

std::int64_t count(auto&& mask) { return static_cast<std::int64_t>(xt::sum<std::size_t>(mask)()); }

}  // namespace

std::vector<double> doubles(const Tensor& tensor) {
  const Tensor kept = as_doubles(tensor);
  const std::span<const double> values = kept.values<double>();
  return {values.begin(), values.end()};
}

bool is_finite(const Tensor& tensor) {
  const Tensor kept = as_doubles(tensor);
  return xt::all(xt::isfinite(kept.as<double>()));
}

double max_abs(const Tensor& tensor) {
  const Tensor kept = as_doubles(tensor);
  const auto x = kept.as<double>();
  return tensor.size() == 0 ? 0 : xt::amax(xt::where(xt::isfinite(x), xt::abs(x), 0.0))();
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  WEFT_CHECK(a.size() == b.size(), "max_abs_difference: {} and {} have different numbers of elements", a.type_str(),
             b.type_str());
  if (a.size() == 0) return 0;
  const Tensor kept_a = as_doubles(a), kept_b = as_doubles(b.reshaped(a.extents()));
  const auto x = kept_a.as<double>(), y = kept_b.as<double>();
  const double otherwise =
      xt::any(xt::not_equal(xt::isfinite(x), xt::isfinite(y))) ? std::numeric_limits<double>::infinity() : 0;
  return xt::amax(xt::where(xt::isfinite(x) && xt::isfinite(y), xt::abs(x - y), otherwise))();
}

Spread spread_of(const Tensor& tensor) {
  const Tensor kept = as_doubles(tensor);
  const auto x = kept.as<double>();
  Spread spread{.finite = count(xt::isfinite(x)), .nan = count(xt::isnan(x)), .infinite = count(xt::isinf(x))};
  if (spread.finite == 0) return spread;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  spread.least = xt::amin(xt::where(xt::isfinite(x), x, infinity))();
  spread.most = xt::amax(xt::where(xt::isfinite(x), x, -infinity))();
  return spread;
}

}  // namespace weft
