#include <weft/runtime/simd/streams.h>

#include <initializer_list>

namespace weft {

extern const StreamTables stream_tables_baseline;
extern const StreamTables stream_tables_avx2;
extern const StreamTables stream_tables_avx512;

const StreamTables* stream_tables(SimdLevel level) {
  if (simd_tables(level) == nullptr) return nullptr;
  if (level == SimdLevel::avx512) return &stream_tables_avx512;
  return level == SimdLevel::avx2 ? &stream_tables_avx2 : &stream_tables_baseline;
}

const StreamTables& stream_tables() {
  static const StreamTables& chosen = []() -> const StreamTables& {
    SimdLevel used = SimdLevel::baseline;
    for (SimdLevel level : {SimdLevel::avx2, SimdLevel::avx512})
      if (simd_tables(level) == &simd_tables()) used = level;
    return *stream_tables(used);
  }();
  return chosen;
}

}  // namespace weft
