// The facts that the transforms of optim/ promise (graph/fact.h).
#pragma once

#include <weft/autodiff/facts.h>

namespace weft::fact {

inline constexpr KnownFact low_precision{"low_precision", "the forward pass already runs in low precision",
                                         "mixed_precision(bf16)"};
inline constexpr KnownFact scaled{"scaled", "the loss is already scaled", "scale_loss(dynamic_scale())"};
inline constexpr KnownFact accumulated{"accumulated", "the gradients are already summed over micro-batches",
                                       "accumulate(k)"};
inline constexpr KnownFact unscaled{"unscaled",
                                    "the gradients are already unscaled, divided by the weight of the loss and checked",
                                    "fetch_gradients()"};
inline constexpr KnownFact clipped{"clipped", "the gradients are already clipped", "clip_global_norm(1.0)"};
inline constexpr KnownFact averaged{"averaged", "the weights are already averaged", "average_weights()"};

}  // namespace weft::fact
