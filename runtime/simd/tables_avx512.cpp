// GCC 12 warns of the undefined operands inside its own AVX-512 intrinsics (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

#include <weft/runtime/simd/tables.h>

namespace weft {
extern const SimdTables simd_tables_avx512;
constinit const SimdTables simd_tables_avx512 = make_tables("avx512");
}  // namespace weft
