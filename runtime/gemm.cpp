#include <weft/runtime/gemm.h>

#include <weft/graph/error.h>
#include <weft/runtime/allocate.h>
#include <weft/runtime/gemm_tiles.h>
#include <weft/runtime/onednn.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/wide.h>

#include <cblas.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace weft {
namespace {

constexpr std::int64_t panel_depth = 512;  // how much of k is widened at a time

std::int64_t parts(std::int64_t extent, std::int64_t part) { return (extent + part - 1) / part; }
std::int64_t round_up(std::int64_t x, std::int64_t unit) { return parts(x, unit) * unit; }

Gemm with_strides(Gemm g) {
  if (g.lda == 0) g.lda = g.trans_a ? g.m : g.k;
  if (g.ldb == 0) g.ldb = g.trans_b ? g.k : g.n;
  if (g.ldc == 0) g.ldc = g.n;
  return g;
}

bool is_widened([[maybe_unused]] DType input) {
#ifdef WEFT_PLAIN_GEMM
  return false;
#else
  return input == f16 || (input == bf16 && bf16_is_emulated());
#endif
}

void expect_supported(const Gemm& g, DType input, DType output) {
  WEFT_INVARIANT((input == output && is_float(input)) || (is_narrow_type(input) && output == f32),
                 "no product of {} into {}", name_of(input), name_of(output));
  WEFT_INVARIANT(g.m >= 0 && g.n >= 0 && g.k >= 0 && g.batch >= 0 &&
                     std::max({g.m, g.n, g.k, g.lda, g.ldb, g.ldc}) < std::numeric_limits<std::int32_t>::max(),
                 "a product of {} x {} x {} x {} is out of range", g.batch, g.m, g.n, g.k);
  WEFT_INVARIANT(g.lda >= (g.trans_a ? g.m : g.k) && g.ldb >= (g.trans_b ? g.k : g.n) && g.ldc >= g.n,
                 "rows of a product overlap");
}

template <class T>
void blas(const Gemm& g, const T* a, const T* b, T* c) {
  const auto transposed = [](bool trans) { return trans ? CblasTrans : CblasNoTrans; };
  const auto extent = [](std::int64_t x) { return static_cast<int>(x); };
  const auto call = [&](auto function) {
    function(CblasRowMajor, transposed(g.trans_a), transposed(g.trans_b), extent(g.m), extent(g.n), extent(g.k),
             static_cast<T>(g.alpha), a, extent(g.lda), b, extent(g.ldb), static_cast<T>(g.beta), c, extent(g.ldc));
  };
  if constexpr (std::is_same_v<T, double>) call(cblas_dgemm);
  else call(cblas_sgemm);
}

onednn::Product product_of(const Gemm& g) {
  return {g.trans_a,
          g.trans_b,
          g.m,
          g.n,
          g.k,
          g.lda,
          g.ldb,
          g.ldc,
          static_cast<float>(g.alpha),
          static_cast<float>(g.beta)};
}

// Measured on tiles with one thread, AVX2: OpenBLAS reads a transposed A faster (by a quarter at 64 x 128
// x 768), unless a strip of less than four rows is left over. Of few rows oneDNN does not copy B, and
// loses half where B's rows lie a multiple of 2 KiB apart (they share sets of the cache). For the rest
// oneDNN is ahead by up to a tenth. With AVX-512 (Sapphire Rapids) OpenBLAS 0.3.21 makes 35 to 50 GFLOP/s of the 200
// of two cores, oneDNN all.
void f32_product(const Gemm& g, const float* a, const float* b, float* c) {
  static const bool avx512 = __builtin_cpu_supports("avx512f");
  if (avx512) return onednn::sgemm(product_of(g), a, b, c);
  const bool transposed = g.trans_a && !g.trans_b && g.m % 4 == 0;
  const bool aliased = !g.trans_a && !g.trans_b && g.m >= 64 && g.m < 512 && g.ldb % 512 == 0;
  if (transposed || aliased) {
    blas(g, a, b, c);
  } else {
    onednn::sgemm(product_of(g), a, b, c);
  }
}

template <class P>
P moved(P data, DType type, std::int64_t elements) {
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<P>>, const std::byte, std::byte>;
  return static_cast<Byte*>(data) + elements * static_cast<std::int64_t>(size_of(type));
}

std::size_t widened_floats(std::int64_t rows, std::int64_t columns, std::int64_t k) {
  const std::int64_t depth = std::min(k, panel_depth);
  return static_cast<std::size_t>(round_up(rows * depth, 16) + round_up(depth * columns, 16) +
                                  round_up(rows * columns, 16));
}

// Two-byte inputs without two-byte arithmetic: panels of A and B in f32, summed over k in f32 into
// a tile.
void widened_product(const Gemm& g, DType input, DType output, const void* a, const void* b, void* c,
                     std::byte* workspace) {
  const std::int64_t depth = std::min(g.k, panel_depth);
  float* a_panel = reinterpret_cast<float*>(workspace);
  float* b_panel = a_panel + round_up(g.m * depth, 16);
  float* sum = b_panel + round_up(depth * g.n, 16);
  std::int64_t sum_stride = g.n;
  if (output == f32) {
    sum = static_cast<float*>(c);
    sum_stride = g.ldc;
  } else if (g.beta != 0) {
    for (std::int64_t i = 0; i < g.m; ++i)
      widen(output, moved(static_cast<const void*>(c), output, i * g.ldc), sum + i * g.n, g.n);
  }
  const auto panel = [&](const void* from, std::int64_t stride, bool along_rows, std::int64_t extent,
                         std::int64_t first, std::int64_t count, float* to) {
    if (along_rows) {  // stored (k, extent)
      for (std::int64_t i = 0; i < count; ++i) {
        widen(input, moved(from, input, (first + i) * stride), to + i * extent, extent);
      }
    } else {
      for (std::int64_t i = 0; i < extent; ++i) {
        widen(input, moved(from, input, i * stride + first), to + i * count, count);
      }
    }
  };
  for (std::int64_t first = 0; first < g.k; first += panel_depth) {
    const std::int64_t count = std::min(panel_depth, g.k - first);
    panel(a, g.lda, g.trans_a, g.m, first, count, a_panel);
    panel(b, g.ldb, !g.trans_b, g.n, first, count, b_panel);
    Gemm part = g;
    part.k = count;
    part.lda = g.trans_a ? g.m : count;
    part.ldb = g.trans_b ? count : g.n;
    part.ldc = sum_stride;
    if (first > 0) part.beta = 1;
    f32_product(part, a_panel, b_panel, sum);
  }
  if (output != f32) {
    for (std::int64_t i = 0; i < g.m; ++i) narrow(output, sum + i * g.n, moved(c, output, i * g.ldc), g.n);
  }
}

// One product of a batch of one, with its strides filled in, on the calling thread.
void product(const Gemm& g, DType input, DType output, const void* a, const void* b, void* c,
             [[maybe_unused]] std::byte* workspace) {
  if (g.m == 0 || g.n == 0) return;
#ifdef WEFT_PLAIN_GEMM
  plain_gemm(g, input, output, a, b, c);
#else
  if (g.k == 0) return plain_gemm(g, input, output, a, b, c);
  if (input == f64) {
    blas(g, static_cast<const double*>(a), static_cast<const double*>(b), static_cast<double*>(c));
  } else if (input == f32) {
    f32_product(g, static_cast<const float*>(a), static_cast<const float*>(b), static_cast<float*>(c));
  } else if (is_widened(input)) {
    widened_product(g, input, output, a, b, c, workspace);
  } else {
    onednn::matmul(product_of(g), input, output, a, b, c);
  }
#endif
}

template <class In, class Out>
void plain_product(const Gemm& g, const In* a, const In* b, Out* c) {
  for (std::int64_t i = 0; i < g.m; ++i) {
    for (std::int64_t j = 0; j < g.n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < g.k; ++l) {
        const In x = g.trans_a ? a[l * g.lda + i] : a[i * g.lda + l];
        const In y = g.trans_b ? b[j * g.ldb + l] : b[l * g.ldb + j];
        sum += static_cast<double>(static_cast<Wide<In>>(x)) * static_cast<double>(static_cast<Wide<In>>(y));
      }
      sum *= g.alpha;
      Out& to = c[i * g.ldc + j];
      if (g.beta != 0) sum += g.beta * static_cast<double>(static_cast<Wide<Out>>(to));
      to = static_cast<Out>(static_cast<Wide<Out>>(sum));
    }
  }
}

template <class In, class Out>
void plain_batch(const Gemm& g, const void* a, const void* b, void* c) {
  for (std::int64_t i = 0; i < g.batch; ++i) {
    plain_product(g, static_cast<const In*>(a) + i * g.stride_a, static_cast<const In*>(b) + i * g.stride_b,
                  static_cast<Out*>(c) + i * g.stride_c);
  }
}

std::size_t slot_bytes(const GemmCut& cut, std::int64_t k) {
  return widened_floats(cut.rows, cut.columns, k) * sizeof(float);
}

// Bytes of the buffer in which a tile of `cut` is finished.
std::size_t tile_bytes(const GemmCut& cut, DType output) {
  return aligned(static_cast<std::size_t>(cut.rows * cut.columns) * size_of(output));
}

// A tile of g, with its strides filled in: the product that makes it, and where it begins in C, A and B.
struct Tile {
  Gemm part;
  std::int64_t batch, row, column, in_a, in_b;
};

// body(tile, slot) for each, by parallel_for.
template <class F>
void for_tiles(const Gemm& g, F&& body) {
  const GemmCut cut = gemm_cut(g);
  const std::int64_t across = parts(g.n, cut.columns), each = parts(g.m, cut.rows) * across;
  parallel_for(g.batch * each, [&](std::int64_t index, int slot) {
    Tile tile{g, index / each, index % each / across * cut.rows, index % across * cut.columns, 0, 0};
    tile.part.batch = 1;
    tile.part.m = std::min(cut.rows, g.m - tile.row);
    tile.part.n = std::min(cut.columns, g.n - tile.column);
    tile.in_a = tile.batch * g.stride_a + (g.trans_a ? tile.row : tile.row * g.lda);
    tile.in_b = tile.batch * g.stride_b + (g.trans_b ? tile.column * g.ldb : tile.column);
    body(tile, slot);
  });
}

}  // namespace

bool bf16_is_emulated() {
  static const bool emulated = !onednn::has_bf16();
  return emulated;
}

GemmCut gemm_cut(const Gemm& g) {
  // At most 256 x 768 (wider gains nothing, and more tiles balance better); then up to 8 tiles, or
  // 16 when there is much to do, as long as each keeps 3 million operations and a useful shape:
  // OpenBLAS, which takes a transposed A, loses a tenth on 64 x 128, oneDNN nothing.
  constexpr double least = 3e6;
  const double work = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k) *
                      static_cast<double>(g.batch);
  const auto wanted = static_cast<std::int64_t>(std::min(work / least, work > 4e8 ? 16.0 : 8.0));
  const std::int64_t least_down = parts(std::max<std::int64_t>(g.m, 1), 256);
  const std::int64_t least_across = parts(std::max<std::int64_t>(g.n, 1), 768);
  std::int64_t down = least_down, across = least_across;
  const auto tiles = [&] { return down * across * g.batch; };
  while (tiles() < wanted) {
    if (g.m >= 96 * (down + 1)) {
      ++down;
    } else if (g.n >= 128 * (across + 1)) {
      ++across;
    } else if (g.m >= 64 * (down + 1) && (!g.trans_a || tiles() < 2)) {
      ++down;
    } else if (g.n >= 64 * (across + 1) && tiles() < 2) {
      ++across;
    } else {
      break;
    }
  }
  if (tiles() % 2 == 1 && tiles() < 16) {  // an odd tile out would leave half of the threads idle
    if (down > least_down) {
      --down;
    } else if (across > least_across) {
      --across;
    }
  }
  return {std::min(round_up(parts(g.m, down), 8), std::max<std::int64_t>(g.m, 1)),
          std::min(round_up(parts(g.n, across), 16), std::max<std::int64_t>(g.n, 1))};
}

std::size_t gemm_workspace(const Gemm& g, DType input, [[maybe_unused]] DType output, int threads) {
  if (!is_widened(input)) return 0;
  return slot_bytes(gemm_cut(g), g.k) * static_cast<std::size_t>(threads);
}

void gemm(const Gemm& given, DType input, DType output, const void* a, const void* b, void* c,
          std::span<std::byte> workspace, GemmEpilogue epilogue) {
  const Gemm g = with_strides(given);
  expect_supported(g, input, output);
  const std::size_t needed = gemm_workspace(g, input, output, threads());
  WEFT_INVARIANT(workspace.size() >= needed, "a product needs a workspace of {} bytes, got {}", needed,
                 workspace.size());
  if (g.m == 0 || g.n == 0) return;
  const std::size_t slot_size = needed / static_cast<std::size_t>(threads());
  for_tiles(g, [&](const Tile& tile, int slot) {
    const Gemm& part = tile.part;
    void* to = moved(c, output, tile.batch * g.stride_c + tile.row * g.ldc + tile.column);
    product(part, input, output, moved(a, input, tile.in_a), moved(b, input, tile.in_b), to,
            workspace.data() + slot_size * static_cast<std::size_t>(slot));
    if (epilogue) epilogue({tile.batch, tile.row, tile.column, part.m, part.n, to, g.ldc, slot});
  });
}

std::size_t gemm_tiles_workspace(const Gemm& g, DType input, DType output, int threads) {
  return gemm_workspace(g, input, output, threads) +
         tile_bytes(gemm_cut(g), output) * static_cast<std::size_t>(threads);
}

void gemm_tiles(const Gemm& given, DType input, DType output, const void* a, const void* b,
                std::span<std::byte> workspace, GemmEpilogue take, const void* bias) {
  const Gemm g = with_strides(given);
  expect_supported(g, input, output);
  WEFT_INVARIANT(g.beta == 0, "gemm_tiles has no C to add to");
  WEFT_INVARIANT(workspace.size() >= gemm_tiles_workspace(g, input, output, threads()),
                 "a product needs a workspace of {} bytes, got {}", gemm_tiles_workspace(g, input, output, threads()),
                 workspace.size());
  if (g.m == 0 || g.n == 0) return;
  const GemmCut cut = gemm_cut(g);
  const std::size_t widened = gemm_workspace(g, input, output, 1), size = widened + tile_bytes(cut, output);
  for_tiles(g, [&](const Tile& tile, int slot) {
    Gemm part = tile.part;
    part.ldc = cut.columns;
    std::byte* space = workspace.data() + size * static_cast<std::size_t>(slot);
    if (bias != nullptr) {
      part.beta = 1;
      for (std::int64_t row = 0; row < part.m; ++row)
        std::memcpy(moved(space + widened, output, row * part.ldc), moved(bias, output, tile.column),
                    static_cast<std::size_t>(part.n) * size_of(output));
    }
    product(part, input, output, moved(a, input, tile.in_a), moved(b, input, tile.in_b), space + widened, space);
    take({tile.batch, tile.row, tile.column, part.m, part.n, space + widened, part.ldc, slot});
  });
}

std::size_t gemm_tile_workspace(const Gemm& g, DType input, [[maybe_unused]] DType output) {
  return is_widened(input) ? slot_bytes({g.m, g.n}, g.k) : 0;
}

void gemm_tile(const Gemm& given, DType input, DType output, const void* a, const void* b, void* c,
               std::span<std::byte> workspace) {
  const Gemm g = with_strides(given);
  expect_supported(g, input, output);
  WEFT_INVARIANT(in_parallel(), "gemm_tile outside a body of parallel_for");
  WEFT_INVARIANT(workspace.size() >= gemm_tile_workspace(g, input, output),
                 "a product needs a workspace of {} bytes, got {}", gemm_tile_workspace(g, input, output),
                 workspace.size());
  for (std::int64_t i = 0; i < g.batch; ++i) {
    product(g, input, output, moved(a, input, i * g.stride_a), moved(b, input, i * g.stride_b),
            moved(c, output, i * g.stride_c), workspace.data());
  }
}

void plain_gemm(const Gemm& given, DType input, DType output, const void* a, const void* b, void* c) {
  const Gemm g = with_strides(given);
  expect_supported(g, input, output);
  if (input == f32) return plain_batch<float, float>(g, a, b, c);
  if (input == f64) return plain_batch<double, double>(g, a, b, c);
  if (input == bf16 && output == f32) return plain_batch<bfloat16, float>(g, a, b, c);
  if (input == bf16) return plain_batch<bfloat16, bfloat16>(g, a, b, c);
  if (output == f32) return plain_batch<float16, float>(g, a, b, c);
  plain_batch<float16, float16>(g, a, b, c);
}

}  // namespace weft
