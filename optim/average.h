// Averages of the weights over the updates: often better to evaluate and to keep than the last weights.
#pragma once

#include <weft/graph/step.h>
#include <weft/runtime/store.h>

#include <cstdint>
#include <source_location>
#include <string>

namespace weft {

struct AverageOptions {
  double decay = 0.999;
  /// The decay of the n-th average after the first is min(decay, (1 + n) / (10 + n)), so early weights are forgotten
  /// sooner (TensorFlow's ExponentialMovingAverage with num_updates).
  bool warmup = false;
  std::int64_t start = 0;      ///< updates before averaging begins; until then the average is the weight
  std::string pattern = "**";  ///< which parameters (graph/glob.h)
};

/// Exponential moving averages of the updated parameters (torch.optim.swa_utils.get_ema_multi_avg_fn), after each
/// update that is taken:
///   first time:  average <- p;   then:  average <- average + (1 - decay) (p - average)
/// State: "average/PATH" for each, and "average/updates", the count of averages taken; saved and resumed with the run.
/// Nothing else changes: losses, gradients and parameters keep their bits. UserError: decay outside [0, 1), start
/// negative, a pattern that matches no updated parameter, no optimize before, applied twice.
Transform average_weights(const AverageOptions& options = {},
                          std::source_location where = std::source_location::current());

/// The store with averages in place of weights: its cell PATH is `store`'s "average/PATH" where there is one. Shares
/// the bytes, so a program bound to it sees every later average without a copy:
///   Store averaged = with_average(store);  Program eval(evaluation(loss), averaged);
/// Before the first average the averages are set to the weights. save_run(path, averaged) saves a model of the
/// averages. UserError: the store has no averages (make the training Program, or Store(step), first).
Store with_average(Store& store);

}  // namespace weft
