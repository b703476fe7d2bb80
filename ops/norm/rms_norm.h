// Root mean square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467, equation 4), and group normalisation
// (Wu and He 2018, arXiv:1803.08494, section 3.1).
#pragma once

#include <weft/graph/graph.h>

namespace weft {

struct RmsNormOptions {
  double eps = 1e-6;  ///< added to the mean of squares
};

/// y = x rstd weight over the last axis, rstd = 1 / sqrt(mean(x^2) + eps); weight [n] may be absent.
Value rms_norm(const Arg& x, const Arg& weight = Value{}, RmsNormOptions options = {});
/// Both outputs: y and rstd [.., 1], which is f32 for bf16 and f16.
Values rms_norm_with_statistics(const Arg& x, const Arg& weight = Value{}, RmsNormOptions options = {});

struct GroupNormOptions {
  Value weight = {}, bias = {};  ///< [C], may be absent
  double eps = 1e-5;
};

/// x [N, C, ..]: each example's channels in `groups` groups of C / groups, each normalised by its own mean and
/// variance; then weight and bias of each channel (torch.nn.functional.group_norm). Made of layer_norm over the groups.
Value group_norm(const Arg& x, std::int64_t groups, const GroupNormOptions& options = {});

const OpDef& rms_norm_op();
const OpDef& rms_norm_backward_op();
void register_rms_norm();

}  // namespace weft
