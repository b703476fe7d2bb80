#include <weft/runtime/simd/stream_kernels.h>

namespace weft {
extern const StreamTables stream_tables_baseline;
constinit const StreamTables stream_tables_baseline = make_streams();
}  // namespace weft
