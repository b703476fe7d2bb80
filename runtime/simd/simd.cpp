#include <weft/runtime/simd/simd.h>

#include <weft/graph/error.h>

#include <cstdlib>
#include <string_view>

namespace weft {

extern const SimdTables simd_tables_baseline;
extern const SimdTables simd_tables_avx2;
extern const SimdTables simd_tables_avx512;

const SimdTables* simd_tables(SimdLevel level) {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (level) {
    case SimdLevel::baseline:
      return &simd_tables_baseline;
    case SimdLevel::avx2:
      return avx2 ? &simd_tables_avx2 : nullptr;
    case SimdLevel::avx512:
      return avx512 ? &simd_tables_avx512 : nullptr;
  }
  return nullptr;
}

const SimdTables& simd_tables() {
  static const SimdTables& chosen = []() -> const SimdTables& {
    const char* wanted = std::getenv("WEFT_SIMD");
    const SimdTables* best = nullptr;
    for (SimdLevel level : {SimdLevel::baseline, SimdLevel::avx2, SimdLevel::avx512}) {
      const SimdTables* tables = simd_tables(level);
      if (tables != nullptr && wanted != nullptr && std::string_view(wanted) == tables->name) {
        return *tables;
      }
      if (tables != nullptr) best = tables;
    }
    WEFT_CHECK(wanted == nullptr, "WEFT_SIMD is '{}': expected one of baseline, avx2, avx512 that this processor has",
               wanted);
    return *best;
  }();
  return chosen;
}

}  // namespace weft
