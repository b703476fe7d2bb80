// GCC 12 warns of the undefined operands inside its own AVX-512 intrinsics (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

#include <weft/runtime/simd/stream_kernels.h>

namespace weft {
extern const StreamTables stream_tables_avx512;
constinit const StreamTables stream_tables_avx512 = make_streams();
}  // namespace weft
