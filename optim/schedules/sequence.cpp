#include <weft/graph/user_line.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/shape/creation.h>
#include <weft/optim/schedules/sequence.h>

namespace weft {
namespace {

// The count from `start` on; 0 before.
Value since(const Value& updates, std::int64_t start) { return maximum(updates - start, 0); }

}  // namespace

Schedule sequential_lr(const std::vector<Schedule>& schedules, const std::vector<std::int64_t>& milestones,
                       std::source_location line) {
  const UserLine told(line);
  WEFT_CHECK(!schedules.empty(), "sequential_lr needs schedules, got none");
  WEFT_CHECK(milestones.size() + 1 == schedules.size(),
             "sequential_lr needs one milestone fewer than its {} schedules, got {}", schedules.size(),
             milestones.size());
  std::string names;
  for (const Schedule& schedule : schedules) names += (names.empty() ? "" : ", ") + schedule.name();
  std::int64_t before = 0;
  for (const std::int64_t milestone : milestones) {
    WEFT_CHECK(milestone > before, "the milestones of sequential_lr must rise from 1, got {} after {}", milestone,
               before);
    before = milestone;
  }
  return {fmt::format("sequential_lr({})", names), [=](const Value& updates) {
            Value rate = schedules.front()(updates);
            for (std::size_t i = 0; i < milestones.size(); ++i)
              rate = where(less(updates, milestones[i]), rate, schedules[i + 1](since(updates, milestones[i])));
            return rate;
          }};
}

Schedule warmup(const Schedule& schedule, std::int64_t steps, const WarmupOptions& options, std::source_location line) {
  const UserLine told(line);
  WEFT_CHECK(steps >= 0, "warmup needs steps of at least 0, got {}", steps);
  const double start = options.start_factor.value_or(1.0 / (static_cast<double>(steps) + 1.0));
  WEFT_CHECK(start >= 0 && start <= 1, "warmup needs a start_factor in [0, 1], got {}", start);
  if (steps == 0) return schedule;
  return {fmt::format("warmup({}, {})", schedule.name(), steps), [=](const Value& updates) {
            const Value after = schedule(since(updates, steps));  // before its start: its first rate
            const Value part = cast(updates, f64) / static_cast<double>(steps);
            const Value factor =
                options.kind == Warmup::linear ? part * (1.0 - start) + start : full(updates.graph(), {}, f64, start);
            return where(less(updates, steps), after * factor, after);
          }};
}

}  // namespace weft
