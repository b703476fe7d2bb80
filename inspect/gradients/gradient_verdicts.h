// What is wrong with gradients, by their numbers. Private to inspect/.
#pragma once

#include <weft/inspect/gradients/forward_values.h>
#include <weft/inspect/gradients/gradient_report.h>

#include <vector>

namespace weft {

/// The norm that a gradient must be above: GradientThresholds::flows_above, by the loss.
double no_flow_below(const GradientReport& report, const GradientThresholds& thresholds);

std::vector<Verdict> judge(const GradientReport& report, const Step& step, const ForwardValues& forward,
                           const GradientThresholds& thresholds);

}  // namespace weft
