#include <weft/runtime/simd/tables.h>

namespace weft {
extern const SimdTables simd_tables_baseline;
constinit const SimdTables simd_tables_baseline = make_tables("baseline");
}  // namespace weft
