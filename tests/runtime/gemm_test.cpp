#include <weft/runtime/gemm.h>
#include <weft/runtime/gemm_tiles.h>

#include <weft/graph/error.h>
#include <weft/runtime/onednn.h>
#include <weft/runtime/parallel.h>
#include <weft/runtime/random.h>
#include <weft/runtime/tensor.h>

#include <support/catch.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace weft;

namespace {

Tensor numbers(DType type, std::int64_t count, std::uint32_t stream) {
  Tensor wide(f32, {count});
  normal_fill(wide.data<float>(), count, 0, random_key(11, stream), 0);
  return wide.cast(type);
}

struct Operands {
  Tensor a, b, c;

  Operands(const Gemm& g, DType input, DType output) {
    const std::int64_t lda = g.lda ? g.lda : (g.trans_a ? g.m : g.k);
    const std::int64_t ldb = g.ldb ? g.ldb : (g.trans_b ? g.k : g.n);
    const std::int64_t ldc = g.ldc ? g.ldc : g.n;
    a = numbers(input, lda * (g.trans_a ? g.k : g.m) + g.stride_a * (g.batch - 1), 1U);
    b = numbers(input, ldb * (g.trans_b ? g.n : g.k) + g.stride_b * (g.batch - 1), 2U);
    c = numbers(output, ldc * g.m + g.stride_c * (g.batch - 1), 3U);
  }
};

Tensor run(const Gemm& g, DType input, DType output, const Operands& x, int team, GemmEpilogue epilogue = {}) {
  ThreadsScope scope(team);
  Tensor c = x.c.clone();
  const auto bytes = static_cast<std::int64_t>(gemm_workspace(g, input, output, team));
  Tensor workspace(boolean, {bytes});
  gemm(g, input, output, x.a.raw(), x.b.raw(), c.raw(), {workspace.raw(), static_cast<std::size_t>(bytes)}, epilogue);
  return c;
}

Tensor plain(const Gemm& g, DType input, DType output, const Operands& x) {
  Tensor c = x.c.clone();
  plain_gemm(g, input, output, x.a.raw(), x.b.raw(), c.raw());
  return c;
}

double unit(DType type) {
  if (type == f64) return 1.2e-16;
  if (type == f32) return 6e-8;
  return type == bf16 ? 4e-3 : 5e-4;
}

// Sums of k products of standard normal numbers: partial sums of size sqrt(k), k roundings.
void check_close(const Tensor& got, const Tensor& want, const Gemm& g, DType sums, DType output) {
  const double k = static_cast<double>(g.k), size = k + 4 * std::sqrt(k) + 4;
  double worst = 0;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(got.at(i) - want.at(i));
    const double bound = 4 * unit(sums) * size + 2 * unit(output) * std::fabs(want.at(i)) + (output == f16 ? 1e-7 : 0);
    worst = std::max(worst, std::isnan(error) ? 1e300 : error / bound);
  }
  CHECK(worst <= 1);
}

const std::vector<Gemm>& shapes() {
  static const std::vector<Gemm> all = [] {
    std::vector<Gemm> result;
    for (bool ta : {false, true}) {
      for (bool tb : {false, true}) {
        for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                                 {3, 5, 7},
                                                                                 {1, 300, 64},
                                                                                 {65, 1, 100},
                                                                                 {64, 64, 32},
                                                                                 {97, 131, 65},
                                                                                 {256, 65, 128},
                                                                                 {65, 128, 768},
                                                                                 {128, 512, 200},
                                                                                 {300, 800, 33}}) {
          result.push_back({.trans_a = ta, .trans_b = tb, .m = m, .n = n, .k = k});
        }
      }
    }
    return result;
  }();
  return all;
}

struct Types {
  DType input, output;
};
constexpr Types all_types[] = {{f32, f32}, {f64, f64}, {bf16, bf16}, {bf16, f32}, {f16, f16}, {f16, f32}};

DType sums_of(DType input) { return input == f64 ? f64 : f32; }

}  // namespace

TEST_CASE("products agree with the plain product for every type, transposition and shape", "[core][runtime]") {
  for (auto [input, output] : all_types) {
    for (const Gemm& g : shapes()) {
      INFO(name_of(input) << " into " << name_of(output) << ": " << g.m << " x " << g.n << " x " << g.k
                          << (g.trans_a ? " T" : " N") << (g.trans_b ? "T" : "N"));
      const Operands x(g, input, output);
      check_close(run(g, input, output, x, 2), plain(g, input, output, x), g, sums_of(input), output);
    }
  }
}

TEST_CASE("alpha, beta, row strides and batches mean what they say", "[core][runtime]") {
  for (auto [input, output] : all_types) {
    for (bool trans : {false, true}) {
      Gemm g{.trans_a = trans,
             .m = 70,
             .n = 90,
             .k = 600,
             .lda = 640,
             .ldb = 100,
             .ldc = 95,
             .alpha = 0.5,
             .beta = 2,
             .batch = 3,
             .stride_a = 600 * 640,
             .stride_b = 0,
             .stride_c = 95 * 70 + 3};
      INFO(name_of(input) << " into " << name_of(output) << (trans ? " T" : " N"));
      const Operands x(g, input, output);
      check_close(run(g, input, output, x, 2), plain(g, input, output, x), g, sums_of(input), output);
    }
  }
}

TEST_CASE("a product has the same bits with any number of threads, at any address", "[core][runtime]") {
  std::vector<Gemm> all = shapes();
  all.push_back({.m = 768, .n = 384, .k = 128});
  all.push_back({.trans_a = true, .m = 512, .n = 128, .k = 768});
  all.push_back({.trans_b = true,
                 .m = 64,
                 .n = 64,
                 .k = 32,
                 .batch = 24,
                 .stride_a = 64 * 32,
                 .stride_b = 64 * 32,
                 .stride_c = 64 * 64});
  for (auto [input, output] : {Types{f32, f32}, Types{f64, f64}, Types{bf16, bf16}}) {
    for (const Gemm& g : all) {
      INFO(name_of(input) << ": " << g.m << " x " << g.n << " x " << g.k << (g.trans_a ? " T" : " N")
                          << (g.trans_b ? "T" : "N"));
      const Operands x(g, input, output);
      const Tensor once = run(g, input, output, x, 1);
      for (int team : {2, 3, 4, 8}) REQUIRE(same_bits(run(g, input, output, x, team), once));
      if (g.batch > 1) continue;
      const std::size_t shift = 4 * size_of(input);
      Tensor moved(boolean, {static_cast<std::int64_t>(x.a.bytes() + shift)});
      std::memcpy(moved.raw() + shift, x.a.raw(), x.a.bytes());
      Operands y = x;
      y.a = Tensor(input, x.a.extents(), moved.raw() + shift);
      REQUIRE(same_bits(run(g, input, output, y, 2), once));
    }
  }
}

TEST_CASE("a product with beta 0 does not read C, and with k 0 is beta C", "[core][runtime]") {
  for (auto [input, output] : all_types) {
    Gemm g{.m = 9, .n = 20, .k = 17};
    Operands x(g, input, output);
    const Tensor want = run(g, input, output, x, 1);
    std::memset(x.c.raw(), 0xff, x.c.bytes());  // NaN in every type
    CHECK(same_bits(run(g, input, output, x, 1), want));
    g.k = 0;
    const Tensor zero = run(g, input, output, x, 2);
    for (std::int64_t i = 0; i < zero.size(); ++i) REQUIRE(zero.at(i) == 0);
    g.beta = 1;
    const Operands y(g, input, output);
    CHECK(same_bits(run(g, input, output, y, 2), y.c));
  }
}

TEST_CASE("an epilogue sees every element of C once, finished", "[core][runtime]") {
  const Gemm g{.m = 300, .n = 1000, .k = 64, .batch = 2, .stride_a = 300 * 64, .stride_b = 0, .stride_c = 300 * 1000};
  const Operands x(g, f32, f32);
  const Tensor want = run(g, f32, f32, x, 1);
  std::atomic<std::int64_t> elements = 0;
  const auto double_it = [&](const GemmTile& tile) {
    auto* c = static_cast<float*>(tile.c);
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      for (std::int64_t j = 0; j < tile.columns; ++j) {
        const std::int64_t at = tile.batch * g.stride_c + (tile.row + i) * g.n + tile.column + j;
        if (c[i * tile.ldc + j] == want.data<float>()[at]) ++elements;
        c[i * tile.ldc + j] *= 2;
      }
    }
  };
  const Tensor got = run(g, f32, f32, x, 2, double_it);
  CHECK(elements == want.size());
  for (std::int64_t i = 0; i < got.size(); ++i) REQUIRE(got.at(i) == 2 * want.at(i));
}

TEST_CASE("tiles in buffers of their own have the bits of C", "[core][runtime]") {
  const Gemm cases[] = {
      {.trans_a = true, .m = 300, .n = 800, .k = 64},
      {.trans_a = true, .m = 130, .n = 67, .k = 700},
      {.m = 257, .n = 300, .k = 40, .lda = 45},
      {.trans_b = true, .m = 33, .n = 129, .k = 70, .batch = 2, .stride_a = 33 * 70, .stride_c = 33 * 129}};
  for (const Gemm& g : cases)
    for (const auto& [input, output] : {std::pair{f32, f32}, {f64, f64}, {bf16, bf16}, {f16, f16}, {bf16, f32}})
      for (const int team : {1, 3}) {
        INFO(g.m << " x " << g.n << " x " << g.k << " of " << name_of(input) << " with " << team);
        const Operands x(g, input, output);
        const Tensor want = run(g, input, output, x, 1);
        ThreadsScope scope(team);
        Tensor got(output, {want.size()});
        const auto size = static_cast<std::int64_t>(size_of(output));
        const auto bytes = static_cast<std::int64_t>(gemm_tiles_workspace(g, input, output, team));
        Tensor workspace(boolean, {bytes});
        gemm_tiles(g, input, output, x.a.raw(), x.b.raw(), {workspace.raw(), static_cast<std::size_t>(bytes)},
                   [&](const GemmTile& tile) {
                     for (std::int64_t row = 0; row < tile.rows; ++row)
                       std::memcpy(got.raw() + (tile.batch * g.stride_c + (tile.row + row) * g.n + tile.column) * size,
                                   static_cast<const std::byte*>(tile.c) + row * tile.ldc * size,
                                   static_cast<std::size_t>(tile.columns * size));
                   });
        CHECK(same_bits(got, want));
      }
}

TEST_CASE("a tile's product inside a body equals the plain one", "[core][runtime]") {
  ThreadsScope scope(2);
  for (auto [input, output] : all_types) {
    const Gemm g{.trans_b = true, .m = 64, .n = 48, .k = 40, .lda = 128, .ldb = 128, .ldc = 64};
    const Operands x(g, input, output);
    const Tensor want = plain(g, input, output, x);
    std::vector<Tensor> got;
    const auto bytes = static_cast<std::int64_t>(gemm_tile_workspace(g, input, output));
    Tensor workspace(boolean, {2, bytes});
    for (int i = 0; i < 6; ++i) got.push_back(x.c.clone());
    parallel_for(6, [&](std::int64_t tile, int slot) {
      gemm_tile(g, input, output, x.a.raw(), x.b.raw(), got[static_cast<std::size_t>(tile)].raw(),
                {workspace.raw() + slot * bytes, static_cast<std::size_t>(bytes)});
    });
    for (const Tensor& c : got) {
      REQUIRE(same_bits(c, got[0]));
      check_close(c, want, g, sums_of(input), output);
    }
  }
  const Gemm g{.m = 2, .n = 2, .k = 2};
  float numbers[4] = {};
  CHECK_THROWS_AS(gemm_tile(g, numbers, numbers, numbers), InternalError);
}

#ifndef WEFT_PLAIN_GEMM
TEST_CASE("oneDNN's matmul primitive obeys alpha, beta and strides", "[core][runtime]") {
  for (bool trans : {false, true}) {
    const Gemm g{.trans_a = trans,
                 .trans_b = !trans,
                 .m = 33,
                 .n = 47,
                 .k = 29,
                 .lda = 60,
                 .ldb = 50,
                 .ldc = 48,
                 .alpha = 0.25,
                 .beta = 0.5};
    for (DType type : {f32, bf16}) {
      if (type == bf16 && bf16_is_emulated()) continue;
      const Operands x(g, type, type);
      const onednn::Product p{g.trans_a, g.trans_b, g.m, g.n, g.k, g.lda, g.ldb, g.ldc, 0.25F, 0.5F};
      Tensor c = x.c.clone();
      for (int repeat = 0; repeat < 2; ++repeat) {
        std::memcpy(c.raw(), x.c.raw(), c.bytes());
        parallel_for(1, [&](std::int64_t, int) { onednn::matmul(p, type, type, x.a.raw(), x.b.raw(), c.raw()); });
        check_close(c, plain(g, type, type, x), g, f32, type);
      }
    }
  }
}

// A matrix of one row or column, of which one stride says nothing: oneDNN 3.7 needs that one too.
TEST_CASE("oneDNN's matmul primitive reads and writes nothing beside its matrices", "[core][runtime]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto ones = [&](std::int64_t rows, std::int64_t columns, std::int64_t stride) {
    Tensor matrix(f32, {rows, stride});
    std::fill_n(matrix.data<float>(), matrix.size(), nan);
    for (std::int64_t i = 0; i < rows; ++i) std::fill_n(matrix.data<float>() + i * stride, columns, 1.0F);
    return matrix;
  };
  for (const DType type : {f32, bf16}) {
    if (type == bf16 && bf16_is_emulated()) continue;
    for (const bool trans_a : {false, true})
      for (const bool trans_b : {false, true})
        for (const std::int64_t m : {1, 5, 16})
          for (const std::int64_t n : {1, 5, 32})
            for (const std::int64_t k : {1, 2, 7, 33}) {
              const std::int64_t lda = (trans_a ? m : k) + 3, ldb = (trans_b ? k : n) + 3, ldc = n + 3;
              const Tensor a = (trans_a ? ones(k, m, lda) : ones(m, k, lda)).cast(type);
              const Tensor b = (trans_b ? ones(n, k, ldb) : ones(k, n, ldb)).cast(type);
              Tensor c = ones(m, 0, ldc);
              const onednn::Product p{trans_a, trans_b, m, n, k, lda, ldb, ldc, 1, 0};
              parallel_for(1, [&](std::int64_t, int) { onednn::matmul(p, type, f32, a.raw(), b.raw(), c.raw()); });
              CAPTURE(name_of(type), trans_a, trans_b, m, n, k);
              for (std::int64_t i = 0; i < c.size(); ++i) {
                if (i % ldc < n) REQUIRE(c.at(i) == static_cast<double>(k));
                else REQUIRE(std::isnan(c.at(i)));
              }
            }
  }
}
#endif

TEST_CASE("the cut of C gives at least two tiles to every product worth sharing", "[core][runtime]") {
  for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{{768, 128, 128},
                                                                           {768, 384, 128},
                                                                           {768, 512, 128},
                                                                           {768, 128, 512},
                                                                           {768, 65, 128},
                                                                           {65, 128, 768},
                                                                           {128, 512, 768},
                                                                           {512, 128, 768},
                                                                           {4096, 768, 768},
                                                                           {1, 4096, 1024}}) {
    const GemmCut cut = gemm_cut({.m = m, .n = n, .k = k});
    const std::int64_t tiles = ((m + cut.rows - 1) / cut.rows) * ((n + cut.columns - 1) / cut.columns);
    INFO(m << " x " << n << " x " << k << ": " << cut.rows << " x " << cut.columns);
    CHECK(tiles >= 2);
    CHECK(cut.rows <= 256);
    CHECK(cut.columns <= 768);
  }
}

TEST_CASE("a product that cannot be is an error", "[core][runtime]") {
  float x[16] = {};
  CHECK_THROWS_AS(gemm({.m = 2, .n = 2, .k = 2}, f32, f64, x, x, x), InternalError);
  CHECK_THROWS_AS(gemm({.m = 2, .n = 2, .k = 2, .lda = 1}, x, x, x), InternalError);
  CHECK_THROWS_AS(gemm({.m = -1, .n = 2, .k = 2}, x, x, x), InternalError);
}
