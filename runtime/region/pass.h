// The lowering pass that makes regions of chains of pointwise and row-wise nodes.
#pragma once

#include <weft/graph/step.h>

namespace weft {

/// Fuses chains of pointwise and row-wise nodes into regions (runtime/region/region.h). Same bits. A producer joins the
/// node that reads it where no path between them leaves the region, and where no live range becomes longer by it.
Step row_regions(const Step& step);

}  // namespace weft
