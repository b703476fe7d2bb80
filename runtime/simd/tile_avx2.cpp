#include <weft/runtime/simd/tile_kernels.h>

namespace weft {
extern const TileTables tile_tables_avx2;
constinit const TileTables tile_tables_avx2{Tile<float>::kernels(), Tile<double>::kernels()};
}  // namespace weft
