#include <weft/runtime/simd/tile_kernels.h>

namespace weft {
extern const TileTables tile_tables_baseline;
constinit const TileTables tile_tables_baseline{Tile<float>::kernels(), Tile<double>::kernels()};
}  // namespace weft
