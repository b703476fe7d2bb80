// Initial values of parameters and states. The Store draws them from (seed, path): adding a layer changes no other
// layer's numbers.
#pragma once

#include <weft/graph/attributes.h>

#include <string>

namespace weft {

/// Kinds: zeros, constant(a), normal(mean a, deviation b), truncated_normal(mean a, deviation b, cut at two
/// deviations), uniform [a, b), tensor (given values).
struct Initializer {
  std::string kind = "zeros";
  double a = 0, b = 0;
  std::shared_ptr<const Constant> values;
};

namespace init {
Initializer zeros();
Initializer ones();
Initializer constant(double value);
Initializer normal(double mean, double deviation);
Initializer truncated_normal(double mean, double deviation);
Initializer uniform(double low, double high);
/// Uniform in +-gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16).
Initializer xavier_uniform(std::int64_t fan_in, std::int64_t fan_out, double gain = 1);
Initializer xavier_normal(std::int64_t fan_in, std::int64_t fan_out, double gain = 1);
/// N(0, 2 / fan_in) (He et al. 2015, eq. 10).
Initializer he_normal(std::int64_t fan_in);
/// Uniform in +-sqrt(6 / fan_in).
Initializer he_uniform(std::int64_t fan_in);
Initializer values(Constant constant);
}  // namespace init

}  // namespace weft
