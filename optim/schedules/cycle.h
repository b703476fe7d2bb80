// Learning rates that rise and fall. Named and defined as in torch.optim.lr_scheduler; t is the number of updates
// taken. All give a UserError for a rate that is negative or not finite.
#pragma once

#include <weft/optim/schedules/schedule.h>

#include <cstdint>
#include <optional>
#include <source_location>

namespace weft {

struct CosineAnnealingWarmRestartsOptions {
  std::int64_t t_0 = 1;     ///< updates until the first restart
  std::int64_t t_mult = 1;  ///< each period is this many times as long as the one before
  double eta_min = 0;
};
/// eta_min + (rate - eta_min) (1 + cos(pi c / T)) / 2, c updates since the last restart, T = t_0 t_mult^restarts
/// (Loshchilov & Hutter 2017, eq. 5). UserError: t_0 or t_mult below 1, eta_min negative.
Schedule cosine_annealing_warm_restarts(double rate, const CosineAnnealingWarmRestartsOptions& options,
                                        std::source_location where = std::source_location::current());

enum class Anneal { cos, linear };
struct OneCycleLrOptions {
  std::int64_t total_steps = 1;
  double pct_start = 0.3;  ///< fraction of the steps in which the rate rises
  Anneal anneal_strategy = Anneal::cos;
  double div_factor = 25;         ///< the first rate is max_rate / div_factor
  double final_div_factor = 1e4;  ///< the last is the first / final_div_factor
  bool three_phase = false;       ///< falls to the first rate as fast as it rose, then to the last
};
/// One rise to max_rate and one fall to nearly 0 (Smith & Topin 2018). It ends at t = total_steps - 1 and stays there
/// (PyTorch throws). UserError: total_steps below 1, pct_start outside [0, 1] (three_phase: [0, 0.5]), div factors not
/// positive.
Schedule one_cycle_lr(double max_rate, const OneCycleLrOptions& options,
                      std::source_location where = std::source_location::current());

enum class CyclicMode {
  triangular,   ///< every peak is max_rate
  triangular2,  ///< each peak is half as far from base_rate as the one before
  exp_range     ///< a peak at t is base_rate + gamma^t (max_rate - base_rate)
};
struct CyclicLrOptions {
  std::int64_t step_size_up = 2000;
  std::optional<std::int64_t> step_size_down = std::nullopt;  ///< none: step_size_up
  CyclicMode mode = CyclicMode::triangular;
  double gamma = 1;
};
/// Linearly up from base_rate and down again, repeated (Smith 2017). UserError: sizes below 1, gamma negative,
/// base_rate > max_rate.
Schedule cyclic_lr(double base_rate, double max_rate, const CyclicLrOptions& options = {},
                   std::source_location where = std::source_location::current());

}  // namespace weft
