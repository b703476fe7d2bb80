#include <weft/runtime/simd/simd.h>
#include <weft/runtime/simd/tile.h>

#include <initializer_list>

namespace weft {

extern const TileTables tile_tables_baseline;
extern const TileTables tile_tables_avx2;
extern const TileTables tile_tables_avx512;

const TileTables* tile_tables(SimdLevel level) {
  if (simd_tables(level) == nullptr) return nullptr;
  switch (level) {
    case SimdLevel::baseline:
      return &tile_tables_baseline;
    case SimdLevel::avx2:
      return &tile_tables_avx2;
    case SimdLevel::avx512:
      return &tile_tables_avx512;
  }
  return nullptr;
}

const TileTables& tile_tables() {
  static const TileTables& chosen = []() -> const TileTables& {
    for (const SimdLevel level : {SimdLevel::avx2, SimdLevel::avx512})
      if (simd_tables(level) == &simd_tables()) return *tile_tables(level);
    return tile_tables_baseline;
  }();
  return chosen;
}

}  // namespace weft
