// Samples of attention and its backward, from which their tests are made. Private to ops/.
#pragma once

#include <weft/graph/op_def.h>

#include <vector>

namespace weft {

std::vector<Sample> attention_samples();
std::vector<BadSample> attention_bad_samples();
std::vector<Sample> attention_backward_samples();
std::vector<BadSample> attention_backward_bad_samples();

}  // namespace weft
