// Facts that hold of a step once its backward pass is built, and once parts of it are to be recomputed.
#pragma once

#include <weft/graph/fact.h>

namespace weft::fact {

inline constexpr KnownFact gradients{"gradients", "the backward pass is built", "training_step(loss)", true};
inline constexpr KnownFact checkpointed{
    "checkpointed", "the step is already lowered, with parts of it to be recomputed", "checkpoint(...)"};
/// That of optimize() and of its like (optim/): what nobody has read by then, nobody will.
inline constexpr KnownFact optimized{"optimized", "the parameters are already updated", "optimize(adamw())"};

}  // namespace weft::fact
