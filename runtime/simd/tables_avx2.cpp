#include <weft/runtime/simd/tables.h>

namespace weft {
extern const SimdTables simd_tables_avx2;
constinit const SimdTables simd_tables_avx2 = make_tables("avx2");
}  // namespace weft
