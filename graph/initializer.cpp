#include <weft/graph/initializer.h>

#include <cmath>

namespace weft::init {
namespace {

double fan(std::int64_t in, std::int64_t out = 0) {
  WEFT_CHECK(in > 0 && out >= 0, "an initializer needs positive fans, got {} and {}", in, out);
  return static_cast<double>(in + out);
}

}  // namespace

Initializer zeros() { return {}; }
Initializer ones() { return {"constant", 1, 0, nullptr}; }
Initializer constant(double value) { return {"constant", value, 0, nullptr}; }

Initializer normal(double mean, double deviation) {
  WEFT_CHECK(deviation >= 0, "a normal initializer needs a deviation of at least 0, got {}", deviation);
  return {"normal", mean, deviation, nullptr};
}
Initializer truncated_normal(double mean, double deviation) {
  WEFT_CHECK(deviation >= 0, "a normal initializer needs a deviation of at least 0, got {}", deviation);
  return {"truncated_normal", mean, deviation, nullptr};
}
Initializer uniform(double low, double high) {
  WEFT_CHECK(low <= high, "a uniform initializer needs low <= high, got {} and {}", low, high);
  return {"uniform", low, high, nullptr};
}
Initializer xavier_uniform(std::int64_t fan_in, std::int64_t fan_out, double gain) {
  const double bound = gain * std::sqrt(6.0 / fan(fan_in, fan_out));
  return uniform(-bound, bound);
}
Initializer xavier_normal(std::int64_t fan_in, std::int64_t fan_out, double gain) {
  return normal(0, gain * std::sqrt(2.0 / fan(fan_in, fan_out)));
}
Initializer he_normal(std::int64_t fan_in) { return normal(0, std::sqrt(2.0 / fan(fan_in))); }
Initializer he_uniform(std::int64_t fan_in) {
  const double bound = std::sqrt(6.0 / fan(fan_in));
  return uniform(-bound, bound);
}
Initializer values(Constant constant) {
  return {"tensor", 0, 0, std::make_shared<const Constant>(std::move(constant))};
}

}  // namespace weft::init
