// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3").
// A number is a function of (seed, stream, runs, row, column) and of nothing else, so another thread count,
// recomputation, a micro-batch, a rank or a resumed run draw the same one.
//
//   key     = (hash of the seed, stream)              stream: a node's id, or made from a name
//   counter = (column / 4, row, runs low, runs high)  lane = column % 4
//
// `row` counts the leading axes of the FULL batch, `column` the last axis; `runs` is the Store's
// counter. A fill writes columns [first_column, first_column + n) of one row; nothing allocates.
// The results are plain IEEE arithmetic on the words, so they are the same on every processor.
#pragma once

#include <weft/graph/dtype.h>

#include <cstdint>
#include <string_view>

namespace weft {

struct RandomKey {
  std::uint32_t seed = 0;    ///< hash of the 64-bit seed
  std::uint32_t stream = 0;  ///< the node's id
};

/// The key of `stream` under a 64-bit seed (its upper bits after SplitMix64's finalizer).
RandomKey random_key(std::uint64_t seed, std::uint32_t stream);
/// The key of an initialiser, from the parameter's name: adding a layer changes none of its numbers.
RandomKey random_key(std::uint64_t seed, std::string_view name);

/// A stable hash of a name: FNV-1a, 64 bits.
std::uint64_t stream_of(std::string_view name);

/// Random words of 32 bits.
void philox_fill(std::uint32_t* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                 std::uint32_t first_column = 0);

/// Uniform on [0, 1): the upper 24 bits of a word times 2^-24. The double of a column takes the 53
/// upper bits of the words of columns 2 c (high) and 2 c + 1 (low).
void uniform_fill(float* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                  std::uint32_t first_column = 0);
void uniform_fill(double* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                  std::uint32_t first_column = 0);

/// The largest number of `type` below `limit`: where U[low, limit) ends once it is rounded.
double largest_below(DType type, double limit);

/// Standard normal: the inverse distribution function (Wichura 1988, algorithm AS 241, PPND16) at
/// (word + 1/2) 2^-32, |x| < 6.4; for double at (52 bits + 1/2) 2^-52, |x| < 8.3.
void normal_fill(float* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                 std::uint32_t first_column = 0);
void normal_fill(double* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                 std::uint32_t first_column = 0);

/// The inverse of the standard normal distribution function, 0 < p < 1; relative error below 1e-13.
double normal_quantile(double p);

/// round(p 2^32): an element dropped with probability p is kept iff its word is >= this.
std::uint64_t drop_threshold(double p);

/// True where kept.
void keep_mask_fill(bool* out, double p, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                    std::uint32_t first_column = 0);

/// The mask of the same words as a factor: `value` (for dropout 1 / (1 - p)) where kept, else 0.
void keep_scale_fill(float* out, double p, float value, std::int64_t n, std::uint32_t row, RandomKey key,
                     std::uint64_t runs, std::uint32_t first_column = 0);
void keep_scale_fill(double* out, double p, double value, std::int64_t n, std::uint32_t row, RandomKey key,
                     std::uint64_t runs, std::uint32_t first_column = 0);

}  // namespace weft
