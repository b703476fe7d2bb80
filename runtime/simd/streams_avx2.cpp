#include <weft/runtime/simd/stream_kernels.h>

namespace weft {
extern const StreamTables stream_tables_avx2;
constinit const StreamTables stream_tables_avx2 = make_streams();
}  // namespace weft
