// Block-wise exact attention: the kernels of `attention` and `attention_backward`. No buffer grows with
// time_q x time_k; blocks of keys that no query of a block may see are left out.
// Dao et al. 2022, "FlashAttention", algorithms 1 and 4; Milakov and Gimelshein 2018, "Online normalizer calculation".
// Not in <weft/weft.h>.
#pragma once

#include <weft/runtime/kernel.h>

#include <vector>

namespace weft {

std::vector<Kernel> attention_kernels();
std::vector<Kernel> attention_backward_kernels();

}  // namespace weft
