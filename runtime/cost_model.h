// How long nodes take, predicted from shapes: a roofline (Williams et al. 2009, "Roofline: an insightful visual
// performance model").
#pragma once

#include <weft/runtime/memory/plan.h>

namespace weft {

/// The speed of a machine, in operations or bytes per second. The defaults are round figures of two cores with AVX2:
/// plans that are chosen by predicted time are then the same on every machine. Only ratios matter for a choice.
struct MachineRates {
  double product_flops = 1.0e11;  ///< expensive ops that are not pointwise: products, attention
  double curve_flops = 1.0e9;     ///< expensive pointwise ops: exp, pow (elements per second)
  double other_flops = 4.0e9;     ///< everything else
  double bytes = 1.0e10;          ///< moved to and from memory
  double start = 2.0e-6;          ///< seconds to start a node
};

/// Seconds of one run of a node: max(flops / rate of its class, bytes / bandwidth) + start, from OpDef::cost. A view
/// takes none.
double predicted_seconds(const Graph& graph, const Node& node, const MachineRates& rates = {});
/// Seconds of one run of a plan: the sum over its nodes, those of the micro phase once for each micro-batch.
double predicted_seconds(const Plan& plan, const MachineRates& rates = {});

}  // namespace weft
