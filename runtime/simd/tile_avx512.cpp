#include <weft/runtime/simd/tile_kernels.h>

namespace weft {
extern const TileTables tile_tables_avx512;
constinit const TileTables tile_tables_avx512{Tile<float>::kernels(), Tile<double>::kernels()};
}  // namespace weft
