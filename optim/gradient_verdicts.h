// What is wrong with gradients, by their numbers. Private to optim/.
#pragma once

#include <weft/optim/gradient_report.h>

#include <vector>

namespace weft {

std::vector<Verdict> judge(const GradientReport& report, const Step& step, const GradientThresholds& thresholds);

}  // namespace weft
