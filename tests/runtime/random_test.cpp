#include <weft/runtime/random.h>

#include <weft/graph/error.h>
#include <weft/runtime/simd/simd.h>

#include <support/catch.h>

#include <Random123/philox.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

using namespace weft;

namespace {

using Block = std::array<std::uint32_t, 4>;

Block random123(Block counter, std::array<std::uint32_t, 2> key) {
  const r123::Philox4x32::ctr_type c = {{counter[0], counter[1], counter[2], counter[3]}};
  const r123::Philox4x32::key_type k = {{key[0], key[1]}};
  const auto words = r123::Philox4x32()(c, k);
  return {words[0], words[1], words[2], words[3]};
}

std::vector<const SimdTables*> levels() {
  std::vector<const SimdTables*> result;
  for (SimdLevel level : {SimdLevel::baseline, SimdLevel::avx2, SimdLevel::avx512}) {
    if (const SimdTables* tables = simd_tables(level)) result.push_back(tables);
  }
  return result;
}

}  // namespace

TEST_CASE("vector Philox gives the published answers", "[core][runtime]") {
  struct Known {
    Block counter;
    std::array<std::uint32_t, 2> key;
    Block words;
  };
  // Random123's kat_vectors for philox4x32, 10 rounds.
  const Known known[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                         {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                          {0xffffffff, 0xffffffff},
                          {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                         {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                          {0xa4093822, 0x299f31d0},
                          {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Known& k : known) {
    CHECK(random123(k.counter, k.key) == k.words);
    for (const SimdTables* tables : levels()) {
      Block words;
      tables->bits.philox(k.counter[0], k.counter.data() + 1, k.key.data(), words.data(), 1);
      CHECK(words == k.words);
    }
  }
}

TEST_CASE("vector Philox equals Random123 for any count of blocks", "[core][runtime]") {
  const std::uint32_t counter[3] = {7, 0xfedcba98, 3}, key[2] = {0x12345678, 99};
  for (const SimdTables* tables : levels()) {
    for (std::int64_t blocks = 0; blocks < 40; ++blocks) {
      const std::uint32_t first = 0xfffffff0U;  // the block counter wraps
      std::vector<std::uint32_t> words(static_cast<std::size_t>(4 * blocks + 1), 5U);
      tables->bits.philox(first, counter, key, words.data(), blocks);
      for (std::int64_t b = 0; b < blocks; ++b) {
        const Block expected =
            random123({first + static_cast<std::uint32_t>(b), counter[0], counter[1], counter[2]}, {key[0], key[1]});
        REQUIRE(std::equal(expected.begin(), expected.end(), words.begin() + 4 * b));
      }
      REQUIRE(words.back() == 5U);
    }
  }
}

TEST_CASE("a row's numbers follow the counter law from any first column", "[core][runtime]") {
  const RandomKey key = random_key(1234, 56U);
  const std::uint64_t runs = 0x100000002ULL;
  std::vector<std::uint32_t> whole(1500);
  philox_fill(whole.data(), 1500, 77, key, runs);
  for (std::size_t c = 0; c < whole.size(); ++c) {
    const Block block = random123({static_cast<std::uint32_t>(c / 4), 77, 2, 1}, {key.seed, key.stream});
    REQUIRE(whole[c] == block[c % 4]);
  }
  std::vector<float> uniform(1500), normal(1500);
  std::vector<double> normal64(1500), uniform64(1500);
  uniform_fill(uniform.data(), 1500, 77, key, runs);
  uniform_fill(uniform64.data(), 1500, 77, key, runs);
  normal_fill(normal.data(), 1500, 77, key, runs);
  normal_fill(normal64.data(), 1500, 77, key, runs);
  for (std::uint32_t from : {1U, 2U, 3U, 4U, 511U, 1001U}) {
    const std::int64_t n = 1500 - from;
    std::vector<std::uint32_t> words(static_cast<std::size_t>(n));
    std::vector<float> part(words.size());
    std::vector<double> part64(words.size());
    philox_fill(words.data(), n, 77, key, runs, from);
    REQUIRE(std::equal(words.begin(), words.end(), whole.begin() + from));
    uniform_fill(part.data(), n, 77, key, runs, from);
    REQUIRE(std::equal(part.begin(), part.end(), uniform.begin() + from));
    normal_fill(part.data(), n, 77, key, runs, from);
    REQUIRE(std::equal(part.begin(), part.end(), normal.begin() + from));
    uniform_fill(part64.data(), n, 77, key, runs, from);
    REQUIRE(std::equal(part64.begin(), part64.end(), uniform64.begin() + from));
    normal_fill(part64.data(), n, 77, key, runs, from);
    REQUIRE(std::equal(part64.begin(), part64.end(), normal64.begin() + from));
  }
}

TEST_CASE("seed, stream, row, run and name each change the numbers", "[core][runtime]") {
  const auto word = [](RandomKey key, std::uint32_t row, std::uint64_t runs) {
    std::uint32_t w = 0;
    philox_fill(&w, 1, row, key, runs);
    return w;
  };
  const std::uint32_t base = word(random_key(1, 2U), 3, 4);
  CHECK(word(random_key(1, 2U), 3, 4) == base);
  CHECK(word(random_key(2, 2U), 3, 4) != base);
  CHECK(word(random_key(1ULL << 40 | 1, 2U), 3, 4) != base);
  CHECK(word(random_key(1, 3U), 3, 4) != base);
  CHECK(word(random_key(1, 2U), 4, 4) != base);
  CHECK(word(random_key(1, 2U), 3, 5) != base);
  CHECK(word(random_key(1, 2U), 3, 4 + (1ULL << 32)) != base);
  CHECK(word(random_key(1, "a/weight"), 0, 0) != word(random_key(1, "b/weight"), 0, 0));
  CHECK(stream_of("") == 0xCBF29CE484222325ULL);
  CHECK(stream_of("foobar") == 0x85944171F73967E8ULL);  // FNV-1a's published test value
}

TEST_CASE("uniform and normal numbers have their distributions", "[core][runtime]") {
  const std::int64_t n = 400000;
  std::vector<float> u(static_cast<std::size_t>(n));
  std::vector<double> z(u.size());
  uniform_fill(u.data(), n, 0, random_key(7, 1U), 0);
  CHECK(*std::min_element(u.begin(), u.end()) >= 0.0F);
  CHECK(*std::max_element(u.begin(), u.end()) < 1.0F);
  double mean = 0;
  for (float x : u) mean += static_cast<double>(x) / static_cast<double>(n);
  CHECK(mean == Approx(0.5).margin(0.002));
  normal_fill(z.data(), n, 0, random_key(7, 2U), 0);
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  for (double x : z) {
    m1 += x / static_cast<double>(n);
    m2 += x * x / static_cast<double>(n);
    m3 += x * x * x / static_cast<double>(n);
    m4 += x * x * x * x / static_cast<double>(n);
  }
  CHECK(m1 == Approx(0).margin(0.006));
  CHECK(m2 == Approx(1).margin(0.01));
  CHECK(m3 == Approx(0).margin(0.02));
  CHECK(m4 == Approx(3).margin(0.06));
  std::vector<float> z32(1000);
  normal_fill(z32.data(), 1000, 3, random_key(7, 2U), 9);
  for (float x : z32) REQUIRE(std::fabs(x) < 6.4F);
}

TEST_CASE("the normal quantile inverts the distribution function", "[core][runtime]") {
  for (double p : {0x1p-53, 1e-12, 1e-6, 0.001, 0.02, 0.074, 0.076, 0.3, 0.5, 0.77, 0.93, 0.99, 0.9999}) {
    const double x = normal_quantile(p);
    CHECK(0.5 * std::erfc(-x / std::sqrt(2.0)) == Approx(p).epsilon(1e-11));
  }
  CHECK(normal_quantile(0.5) == 0.0);
  CHECK(normal_quantile(0.25) == -normal_quantile(0.75));
}

TEST_CASE("an element is kept iff its word reaches the threshold", "[core][runtime]") {
  const RandomKey key = random_key(5, 6U);
  const std::int64_t n = 1003;
  std::vector<std::uint32_t> words(1003);
  philox_fill(words.data(), n, 2, key, 3);
  const auto mask = std::make_unique<bool[]>(1003);
  std::vector<float> scale(1003);
  std::vector<double> scale64(1003);
  for (double p : {0.0, 0.2, 0.5, 0.999, 1.0}) {
    keep_mask_fill(mask.get(), p, n, 2, key, 3);
    keep_scale_fill(scale.data(), p, 1.25F, n, 2, key, 3);
    keep_scale_fill(scale64.data(), p, 1.25, n, 2, key, 3);
    std::int64_t kept = 0;
    for (std::size_t i = 0; i < words.size(); ++i) {
      const bool keep = words[i] >= std::llround(p * 4294967296.0);
      REQUIRE(mask[i] == keep);
      REQUIRE(scale[i] == (keep ? 1.25F : 0.0F));
      REQUIRE(scale64[i] == (keep ? 1.25 : 0.0));
      kept += keep;
    }
    CHECK(static_cast<double>(kept) / 1003 == Approx(1 - p).margin(0.05));
  }
  CHECK(drop_threshold(0.2) == 858993459);
  CHECK_THROWS_AS(drop_threshold(1.5), UserError);
}
