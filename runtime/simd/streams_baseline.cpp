#include <weft/runtime/simd/streams.h>

namespace weft {
extern const StreamTables stream_tables_baseline;
constinit const StreamTables stream_tables_baseline = make_streams();
}  // namespace weft
