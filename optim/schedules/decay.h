// Learning rates that change from one value to another once. Named and defined as in torch.optim.lr_scheduler where a
// name exists there; t is the number of updates taken. All give a UserError for a rate that is negative or not finite.
#pragma once

#include <weft/optim/schedules/schedule.h>

#include <cstdint>
#include <source_location>
#include <vector>

namespace weft {

struct ConstantLrOptions {
  double factor = 1.0 / 3;
  std::int64_t total_iters = 5;
};
/// rate factor while t < total_iters, then rate. UserError: factor outside [0, 1], total_iters negative.
Schedule constant_lr(double rate, const ConstantLrOptions& options = {},
                     std::source_location where = std::source_location::current());

struct LinearLrOptions {
  double start_factor = 1.0 / 3;
  double end_factor = 1;
  std::int64_t total_iters = 5;
};
/// rate (start_factor + (end_factor - start_factor) min(1, t / total_iters)). UserError: factors outside [0, 1],
/// total_iters below 1.
Schedule linear_lr(double rate, const LinearLrOptions& options = {},
                   std::source_location where = std::source_location::current());

struct StepLrOptions {
  std::int64_t step_size = 1;
  double gamma = 0.1;
};
/// rate gamma^floor(t / step_size). UserError: step_size below 1, gamma negative.
Schedule step_lr(double rate, const StepLrOptions& options,
                 std::source_location where = std::source_location::current());

/// rate gamma^(milestones that are <= t). UserError: no milestones, a negative one, gamma negative.
Schedule multi_step_lr(double rate, const std::vector<std::int64_t>& milestones, double gamma = 0.1,
                       std::source_location where = std::source_location::current());

/// rate gamma^t. UserError: gamma negative.
Schedule exponential_lr(double rate, double gamma, std::source_location where = std::source_location::current());

struct PolynomialLrOptions {
  std::int64_t total_iters = 5;
  double power = 1;
};
/// rate (1 - min(1, t / total_iters))^power. UserError: total_iters below 1, power not positive.
Schedule polynomial_lr(double rate, const PolynomialLrOptions& options = {},
                       std::source_location where = std::source_location::current());

struct CosineAnnealingLrOptions {
  std::int64_t t_max = 1;
  double eta_min = 0;
};
/// eta_min + (rate - eta_min) (1 + cos(pi t / t_max)) / 2 (Loshchilov & Hutter 2017, eq. 5 without restarts). As in
/// PyTorch it rises again after t_max; warmup_cosine() stays at its least. UserError: t_max below 1, eta_min negative.
Schedule cosine_annealing_lr(double rate, const CosineAnnealingLrOptions& options,
                             std::source_location where = std::source_location::current());

/// rate min(s / warmup, sqrt(warmup / s)), s = t + 1: linear up to `rate`, then the inverse square root of the step
/// (Vaswani et al. 2017, eq. 3, where rate = (d_model warmup)^-0.5). UserError: warmup below 1.
Schedule inverse_sqrt_lr(double rate, std::int64_t warmup = 1,
                         std::source_location where = std::source_location::current());

}  // namespace weft
