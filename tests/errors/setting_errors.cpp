#include "gallery.h"

#include <weft/weft.h>

namespace weft::gallery {

Group setting_errors() {
  return {"Settings of optimizers, schedules and transforms",
          "setting_errors.cpp",
          {
              {"A learning rate below zero",
               {"a learning rate must be finite and not negative, got -0.1"},
               [] { sgd({.rate = -0.1}); }},
              {"A beta of one", {"adamw needs betas in [0, 1), got 1 and 0.999"}, [] { adamw({.beta1 = 1.0}); }},
              {"Nesterov without momentum",
               {"sgd: nesterov needs a momentum and no dampening, got momentum 0 and dampening 0"},
               [] { sgd({.nesterov = true}); }},
              {"No optimizer",
               {"optimize needs an optimizer, got none; hint: optimize(adamw())"},
               [] { optimize(std::vector<OptimizerGroup>{}); }},
              {"A warm-up longer than the training",
               {"warmup_cosine needs 0 <= warmup < total, got warmup 100 and total 50"},
               [] { warmup_cosine(1e-3, 100, 50); }},
              {"Milestones that do not rise",
               {"the milestones of sequential_lr must rise from 1, got 5 after 10"},
               [] { sequential_lr({1e-2, 1e-3, 1e-4}, {10, 5}); }},
              {"Schedules and milestones that do not match",
               {"sequential_lr needs one milestone fewer than its 2 schedules, got 0"},
               [] { sequential_lr({1e-2, 1e-3}, {}); }},
              {"A schedule that gives no f64 scalar",
               {"a schedule must give a f64 scalar, mine gives f32[]"},
               [] {
                 Graph graph;
                 const Value w = graph.parameter("w", {f32, {3}}, init::ones());
                 const Schedule mine("mine", [](const Value& updates) { return cast(updates, f32) * 1e-3; });
                 training_step(sum(w * w)) | optimize(sgd({.rate = mine}));
               }},
              {"A norm that is not positive",
               {"setting_errors.cpp:", ": clip_global_norm needs a positive norm, got 0"},
               [] { clip_global_norm(0); }},
              {"A loss scale that is none",
               {"static_scale needs a positive, finite number, got -8"},
               [] { static_scale(-8); }},
              {"A loss scale that starts above its limit",
               {"dynamic_scale needs a start from least to greatest, got start 100000, least 1 and greatest 65536"},
               [] { dynamic_scale({.start = 100000}); }},
              {"No micro-batch",
               {"setting_errors.cpp:", ": accumulate needs at least one micro-batch, got 0"},
               [] { accumulate(0); }},
              {"A decay of one",
               {"setting_errors.cpp:", ": average_weights needs a decay in [0, 1), got 1"},
               [] { average_weights({.decay = 1}); }},
              {"Threads below zero", {"the number of threads must be 0 to", "got -1"}, [] { set_threads(-1); }},
          }};
}

}  // namespace weft::gallery
