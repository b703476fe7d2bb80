// Parts of a model that begin as nothing: a product with a parameter that starts at 0. Private to inspect/ and
// testing/.
#pragma once

#include <weft/graph/step.h>

#include <string>
#include <vector>

namespace weft {

/// Its initialiser gives 0.
bool starts_at_zero(const Value& parameter);

/// Trained parameters that start at 0 and are factors on every way from `parameter` to the loss, so that its gradient
/// is exactly 0 until they have moved: the second matrix of LoRA (Hu et al. 2021, arXiv:2106.09685, section 4.1),
/// ReZero's scale (Bachlechner et al. 2020, arXiv:2003.04887), a last layer or a gain of zeros. Empty: a way goes
/// around them.
std::vector<Value> behind_zeros(const Step& step, const Value& parameter);
/// The trained parameter that starts at 0 and is the factor by which the node multiplies operand `at`; absent: none.
Value zero_factor(const Step& step, NodeId node, std::size_t at);

}  // namespace weft
