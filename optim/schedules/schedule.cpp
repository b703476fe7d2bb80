#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/schedules/schedule.h>

#include <cmath>
#include <numbers>

namespace weft {

Schedule::Schedule(double rate, std::source_location line)
    : name_(fmt::format("constant({})", rate)),
      rule_([rate](const Value& updates) { return full(updates.graph(), {}, f64, rate); }) {
  const UserLine told(line);
  WEFT_CHECK(std::isfinite(rate) && rate >= 0, "a learning rate must be finite and not negative, got {}", rate);
}

Schedule operator*(const Schedule& schedule, double factor) {
  WEFT_CHECK(std::isfinite(factor) && factor >= 0,
             "the factor of a learning rate must be finite and not negative, got {}", factor);
  return {fmt::format("{} * {}", schedule.name(), factor),
          [=](const Value& updates) { return multiply(schedule(updates), factor); }};
}

Schedule warmup_cosine(double peak, std::int64_t warmup, std::int64_t total, double least, std::source_location line) {
  const UserLine told(line);
  WEFT_CHECK(0 <= warmup && warmup < total, "warmup_cosine needs 0 <= warmup < total, got warmup {} and total {}",
             warmup, total);
  WEFT_CHECK(0 <= least && least <= peak && std::isfinite(peak),
             "warmup_cosine needs 0 <= least <= peak, got least {} and peak {}", least, peak);
  return {fmt::format("warmup_cosine({}, {}, {}, {})", peak, warmup, total, least), [=](const Value& updates) {
            const Value t = cast(updates, f64);
            const auto w = static_cast<double>(warmup);
            const Value rising = (t + 1.0) * (peak / (w + 1.0));
            const Value part = minimum((t - w) / (static_cast<double>(total) - w), 1.0);
            const Value falling = (cos(part * std::numbers::pi) + 1.0) * (0.5 * (peak - least)) + least;
            return where(less(t, w), rising, falling);
          }};
}

}  // namespace weft
