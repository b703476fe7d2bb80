// Combines schedules: one after another, and after a warmup.
#pragma once

#include <weft/optim/schedules/schedule.h>

#include <cstdint>
#include <optional>
#include <source_location>
#include <vector>

namespace weft {

/// Schedule i from milestone i - 1 on, each counting from its own start, as torch.optim.lr_scheduler.SequentialLR.
/// UserError: no schedules, milestones that are not one fewer, or do not rise from 1.
Schedule sequential_lr(const std::vector<Schedule>& schedules, const std::vector<std::int64_t>& milestones,
                       std::source_location where = std::source_location::current());

enum class Warmup { linear, constant };
struct WarmupOptions {
  Warmup kind = Warmup::linear;
  std::optional<double> start_factor = std::nullopt;  ///< none: 1 / (steps + 1)
};
/// A warmup of `steps` updates before `schedule`, which counts from its end. With r the first rate of `schedule` and s
/// the start factor,
///   linear: r (s + (1 - s) t / steps);  constant: r s
/// UserError: steps negative, a factor outside [0, 1].
Schedule warmup(const Schedule& schedule, std::int64_t steps, const WarmupOptions& options = {},
                std::source_location where = std::source_location::current());

}  // namespace weft
