// Lowering: chains of pointwise and row-wise nodes become regions.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// Chains of pointwise and row-wise nodes become regions (runtime/region/region.h): same bits. A producer joins the
/// node that reads it where no path between them leaves the region, and where nothing lives longer for it than it did.
Step row_regions(const Step& step);

}  // namespace weft
