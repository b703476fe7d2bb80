#include <weft/runtime/random.h>

#include <weft/graph/error.h>
#include <weft/runtime/simd/simd.h>

#include <Random123/philox.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace weft {
namespace {

// One row of words, walked in pieces that stay in L1.
struct Row {
  std::uint32_t row;
  RandomKey key;
  std::uint64_t runs;

  void block(std::uint32_t index, std::uint32_t* words) const {
    const r123::Philox4x32::ctr_type counter = {
        {index, row, static_cast<std::uint32_t>(runs), static_cast<std::uint32_t>(runs >> 32)}};
    const r123::Philox4x32::key_type k = {{key.seed, key.stream}};
    const r123::Philox4x32::ctr_type words4 = r123::Philox4x32()(counter, k);
    std::copy(words4.begin(), words4.end(), words);
  }

  void words(std::uint32_t* out, std::int64_t n, std::uint64_t column) const {
    if (column % 4 != 0 && n > 0) {
      std::uint32_t head[4];
      block(static_cast<std::uint32_t>(column / 4), head);
      const std::int64_t count = std::min<std::int64_t>(n, static_cast<std::int64_t>(4 - column % 4));
      std::copy_n(head + column % 4, count, out);
      out += count;
      n -= count;
      column += static_cast<std::uint64_t>(count);
    }
    const std::uint32_t counter[3] = {row, static_cast<std::uint32_t>(runs), static_cast<std::uint32_t>(runs >> 32)};
    const std::uint32_t k[2] = {key.seed, key.stream};
    const auto first = static_cast<std::uint32_t>(column / 4);
    simd_bits().philox(first, counter, k, out, n / 4);
    if (n % 4 != 0) {
      std::uint32_t tail[4];
      block(first + static_cast<std::uint32_t>(n / 4), tail);
      std::copy_n(tail, n % 4, out + n / 4 * 4);
    }
  }

  /// use(begin, count, words) over [0, n), `per` words an element.
  template <class F>
  void pieces(std::int64_t n, std::uint64_t first_column, int per, F use) const {
    constexpr std::int64_t piece = 512;
    std::uint32_t buffer[2 * piece];
    for (std::int64_t begin = 0; begin < n; begin += piece) {
      const std::int64_t count = std::min(piece, n - begin);
      words(buffer, count * per, (first_column + static_cast<std::uint64_t>(begin)) * static_cast<std::uint64_t>(per));
      use(begin, count, static_cast<const std::uint32_t*>(buffer));
    }
  }
};

std::uint64_t wide(const std::uint32_t* words, std::int64_t i) {
  return static_cast<std::uint64_t>(words[2 * i]) << 32 | words[2 * i + 1];
}

// SplitMix64's finalizer (Steele, Lea and Flood 2014).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// log of a positive normal number from arithmetic alone, so that no C library decides its bits:
// x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)).
double plain_log(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1) / (m + 1), s2 = s * s;
  double series = 0;
  for (int k = 21; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return exponent * 0.69314718055994531 + 2 * s * series;
}

template <int N>
double ratio(const double (&numerator)[N], const double (&denominator)[N], double r) {
  double p = numerator[N - 1], q = denominator[N - 1];
  for (int i = N - 2; i >= 0; --i) {
    p = p * r + numerator[i];
    q = q * r + denominator[i];
  }
  return p / q;
}

template <class T>
void keep_scale(T* out, double p, T value, std::int64_t n, std::uint32_t first_column, const Row& row) {
  const std::uint64_t threshold = drop_threshold(p);
  if (threshold > 0xFFFFFFFFULL) {
    std::fill_n(out, n, T(0));
    return;
  }
  row.pieces(n, first_column, 1, [&](std::int64_t at, std::int64_t count, const std::uint32_t* words) {
    simd<T>().keep_scale(words, static_cast<std::uint32_t>(threshold), value, out + at, count);
  });
}

}  // namespace

std::uint64_t stream_of(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

RandomKey random_key(std::uint64_t seed, std::uint32_t stream) {
  return {static_cast<std::uint32_t>(mix(seed) >> 32), stream};
}

RandomKey random_key(std::uint64_t seed, std::string_view name) {
  const std::uint64_t stream = mix(stream_of(name));
  return {static_cast<std::uint32_t>(mix(seed ^ stream) >> 32), static_cast<std::uint32_t>(stream)};
}

void philox_fill(std::uint32_t* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                 std::uint32_t first_column) {
  Row{row, key, runs}.words(out, n, first_column);
}

void uniform_fill(float* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                  std::uint32_t first_column) {
  Row{row, key, runs}.pieces(n, first_column, 1, [&](std::int64_t at, std::int64_t count, const std::uint32_t* words) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[at + i] = static_cast<float>(words[i] >> 8) * 0x1p-24F;
    }
  });
}

void uniform_fill(double* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                  std::uint32_t first_column) {
  Row{row, key, runs}.pieces(n, first_column, 2, [&](std::int64_t at, std::int64_t count, const std::uint32_t* words) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[at + i] = static_cast<double>(wide(words, i) >> 11) * 0x1p-53;
    }
  });
}

double largest_below(DType type, double limit) {
  struct Format {
    int digits, least;  // of the mantissa; exponent of the smallest normal number
  };
  const Format format = type == f64    ? Format{53, -1022}
                        : type == f32  ? Format{24, -126}
                        : type == bf16 ? Format{8, -126}
                                       : Format{11, -14};
  if (!std::isfinite(limit)) return limit;
  const auto spacing = [&](double size) {
    const int exponent = size == 0 ? format.least : std::max(std::ilogb(size), format.least);
    return std::ldexp(1.0, exponent - (format.digits - 1));
  };
  const double unit = spacing(std::abs(limit)), floor = std::floor(limit / unit) * unit;
  if (floor < limit) return floor;
  return limit - spacing(limit > 0 ? std::nextafter(limit, 0.0) : limit);
}

void normal_fill(float* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                 std::uint32_t first_column) {
  Row{row, key, runs}.pieces(n, first_column, 1, [&](std::int64_t at, std::int64_t count, const std::uint32_t* words) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[at + i] = static_cast<float>(normal_quantile((words[i] + 0.5) * 0x1p-32));
    }
  });
}

void normal_fill(double* out, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                 std::uint32_t first_column) {
  Row{row, key, runs}.pieces(n, first_column, 2, [&](std::int64_t at, std::int64_t count, const std::uint32_t* words) {
    for (std::int64_t i = 0; i < count; ++i) {
      out[at + i] = normal_quantile((static_cast<double>(wide(words, i) >> 12) + 0.5) * 0x1p-52);
    }
  });
}

double normal_quantile(double p) {
  static constexpr double a[] = {3.3871328727963666080,    1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                 1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                 3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static constexpr double b[] = {1.0,
                                 4.2313330701600911252e+1,
                                 6.8718700749205790830e+2,
                                 5.3941960214247511077e+3,
                                 2.1213794301586595867e+4,
                                 3.9307895800092710610e+4,
                                 2.8729085735721942674e+4,
                                 5.2264952788528545610e+3};
  static constexpr double c[] = {1.42343711074968357734,    4.63033784615654529590,   5.76949722146069140550,
                                 3.64784832476320460504,    1.27045825245236838258,   2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double d[] = {1.0,
                                 2.05319162663775882187,
                                 1.67638483018380384940,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
  static constexpr double e[] = {6.65790464350110377720,    5.46378491116411436990,    1.78482653991729133580,
                                 2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double f[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
  const double q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) return q * ratio(a, b, 0.180625 - q * q);
  const double r = std::sqrt(-plain_log(q < 0 ? p : 1 - p));
  const double x = r <= 5 ? ratio(c, d, r - 1.6) : ratio(e, f, r - 5);
  return q < 0 ? -x : x;
}

std::uint64_t drop_threshold(double p) {
  WEFT_CHECK(p >= 0 && p <= 1, "a drop probability must be in [0, 1], got {}", p);
  return static_cast<std::uint64_t>(p * 0x1p32 + 0.5);
}

void keep_mask_fill(bool* out, double p, std::int64_t n, std::uint32_t row, RandomKey key, std::uint64_t runs,
                    std::uint32_t first_column) {
  const std::uint64_t threshold = drop_threshold(p);
  Row{row, key, runs}.pieces(n, first_column, 1, [&](std::int64_t at, std::int64_t count, const std::uint32_t* words) {
    for (std::int64_t i = 0; i < count; ++i) out[at + i] = words[i] >= threshold;
  });
}

void keep_scale_fill(float* out, double p, float value, std::int64_t n, std::uint32_t row, RandomKey key,
                     std::uint64_t runs, std::uint32_t first_column) {
  keep_scale(out, p, value, n, first_column, Row{row, key, runs});
}

void keep_scale_fill(double* out, double p, double value, std::int64_t n, std::uint32_t row, RandomKey key,
                     std::uint64_t runs, std::uint32_t first_column) {
  keep_scale(out, p, value, n, first_column, Row{row, key, runs});
}

}  // namespace weft
