// Positions against published formulas: complex rotations, the papers' tables.
#include <support/catch.h>

#include <weft/weft.h>

#include <cmath>
#include <complex>
#include <numbers>

using namespace weft;

namespace {

Tensor normal(Tensor::Extents extents, DType dtype = f64) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(3, 1), 0);
  return drawn.cast(dtype);
}

}  // namespace

TEST_CASE("sinusoidal positions are sines and cosines of p / base^(2i / width)", "[core][ops][positions]") {
  Graph graph;
  const Tensor y = evaluate(sinusoidal_positions(graph, 50, 6, {.dtype = f64, .from = {.offset = 7}}));
  REQUIRE(y.extents() == Tensor::Extents{50, 6});
  for (std::int64_t p = 0; p < 50; ++p)
    for (std::int64_t i = 0; i < 3; ++i) {
      const double angle = static_cast<double>(p + 7) / std::pow(10000.0, static_cast<double>(2 * i) / 6);
      CHECK(y.at(p * 6 + 2 * i) == Approx(std::sin(angle)).margin(1e-12));
      CHECK(y.at(p * 6 + 2 * i + 1) == Approx(std::cos(angle)).margin(1e-12));
    }
  // Rounded once: far away too.
  Graph far;
  const Tensor z = evaluate(sinusoidal_positions(far, 1, 2, {.from = {.offset = 100000}}));
  CHECK(z.at(0) == Approx(std::sin(100000.0)).epsilon(1e-6));
}

TEST_CASE("rotary turns pairs as complex numbers", "[core][ops][positions]") {
  for (const bool interleaved : {false, true})
    for (const std::int64_t width : {std::int64_t{0}, std::int64_t{4}}) {
      Graph graph;
      const Value x = graph.input("x", f64, {2, 5, 3, 8});
      const Tensor in = normal({2, 5, 3, 8});
      const Tensor y = evaluate(
          rotary(x, {.width = width, .base = 500, .interleaved = interleaved, .from = {.offset = 2}}), {{"x", in}});
      const std::int64_t turned = width == 0 ? 8 : width;
      for (std::int64_t row = 0; row < 2 * 5 * 3; ++row) {
        const std::int64_t p = row / 3 % 5 + 2;
        for (std::int64_t i = 0; i < turned / 2; ++i) {
          const std::int64_t a = row * 8 + (interleaved ? 2 * i : i),
                             b = row * 8 + (interleaved ? 2 * i + 1 : i + turned / 2);
          const double angle =
              static_cast<double>(p) * std::pow(500.0, -2.0 * static_cast<double>(i) / static_cast<double>(turned));
          const std::complex<double> z = std::complex(in.at(a), in.at(b)) * std::polar(1.0, angle);
          CHECK(y.at(a) == Approx(z.real()).margin(1e-12));
          CHECK(y.at(b) == Approx(z.imag()).margin(1e-12));
        }
        for (std::int64_t c = turned; c < 8; ++c) CHECK(y.at(row * 8 + c) == in.at(row * 8 + c));
      }
    }
}

TEST_CASE("rotary scores depend on distances only", "[core][ops][positions]") {
  Graph graph;
  const Value q = graph.input("q", f64, {1, 6, 1, 16}), k = graph.input("k", f64, {1, 6, 1, 16});
  const Tensor one = normal({1, 1, 1, 16});
  Tensor same(f64, {1, 6, 1, 16});
  for (std::int64_t i = 0; i < same.size(); ++i) same.data<double>()[i] = one.at(i % 16);
  const Tensor s = evaluate(einsum("bqhd,bkhd->bhqk", {rotary(q), rotary(k)}), {{"q", same}, {"k", same}});
  for (std::int64_t i = 0; i + 1 < 6; ++i)
    for (std::int64_t j = 0; j + 1 < 6; ++j) CHECK(s.at(i * 6 + j) == Approx(s.at((i + 1) * 6 + j + 1)).margin(1e-12));
}

TEST_CASE("a cache's offset moves rotations, for each example too", "[core][ops][positions]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 2), 3, 2, 8}),
              start = graph.input("start", i64, {graph.dim("batch", 2)});
  const Value y = rotary(x, {.from = {.start = start}}), at_4 = rotary(x, {.from = {.offset = 4}}),
              at_9 = rotary(x, {.from = {.offset = 9}});
  const Tensor in = normal({2, 3, 2, 8}, f32);
  const Tensor starts = Tensor::of<std::int64_t>({2}, {4, 9});
  const auto got = evaluate({y, at_4, at_9}, std::vector<Feed>{{"x", in}, {"start", starts}});
  for (std::int64_t i = 0; i < 48; ++i) CHECK(got[0].at(i) == got[1].at(i));
  for (std::int64_t i = 48; i < 96; ++i) CHECK(got[0].at(i) == got[2].at(i));
}

TEST_CASE("gradients flow through rotary, and are turned back", "[core][ops][positions]") {
  Graph graph;
  const Value x = graph.input("x", f64, {1, 4, 2, 6});
  const Value loss = sum(sin(rotary(x, {.width = 4, .interleaved = true})));
  const Tensor in = normal({1, 4, 2, 6});
  const GradientCheck result = check_gradients(loss, {x}, {{"x", in}});
  INFO(result.str());
  CHECK(result.passed());
}

TEST_CASE("ALiBi's slopes are the paper's", "[core][ops][positions]") {
  CHECK(alibi_slopes(8) ==
        std::vector<double>{1.0 / 2, 1.0 / 4, 1.0 / 8, 1.0 / 16, 1.0 / 32, 1.0 / 64, 1.0 / 128, 1.0 / 256});
  const std::vector<double> twelve = alibi_slopes(12), sixteen = alibi_slopes(16);
  for (std::size_t h = 0; h < 8; ++h) CHECK(twelve[h] == alibi_slopes(8)[h]);
  for (std::size_t h = 0; h < 4; ++h) CHECK(twelve[8 + h] == sixteen[2 * h]);
  CHECK(sixteen[0] == Approx(1 / std::numbers::sqrt2));
  Graph graph;
  const Tensor bias = evaluate(alibi_bias(graph, 2, 2, 5, {.offset = 3}));
  for (std::int64_t h = 0; h < 2; ++h)
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t j = 0; j < 5; ++j)
        CHECK(bias.at((h * 2 + i) * 5 + j) ==
              Approx(-alibi_slopes(2)[static_cast<std::size_t>(h)] * std::abs(static_cast<double>(i + 3 - j))));
}

TEST_CASE("relative buckets are T5's", "[core][ops][positions]") {
  // First distance of each bucket that several share (32 buckets, maximum distance 128).
  const auto firsts = [](bool bidirectional) {
    const std::vector<std::int64_t> table = relative_buckets({.bidirectional = bidirectional});
    std::vector<std::int64_t> found;
    for (std::int64_t d = 1; d <= 128; ++d)
      if (table[static_cast<std::size_t>(128 - d)] != table[static_cast<std::size_t>(128 - d + 1)]) found.push_back(d);
    return found;
  };
  CHECK(firsts(true) == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91});
  CHECK(firsts(false) == std::vector<std::int64_t>{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                                   19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113});
  const std::vector<std::int64_t> both = relative_buckets(), one = relative_buckets({.bidirectional = false});
  for (std::size_t d = 1; d <= 128; ++d) {
    CHECK(both[128 + d] == both[128 - d] + 16);
    CHECK(one[128 + d] == 0);
  }
  Graph graph;
  const Tensor ids = evaluate(relative_bucket_ids(graph, 2, 300, {}, {.offset = 5}));
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 300; ++j)
      CHECK(ids.at(i * 300 + j) ==
            static_cast<double>(both[static_cast<std::size_t>(std::clamp<std::int64_t>(j - i - 5, -128, 128) + 128)]));
}

TEST_CASE("bad positions are refused", "[core][ops][positions][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 5, 3, 7}), half = graph.input("half", f32, {});
  CHECK_THROWS_WITH(rotary(x),
                    ContainsSubstring("at most the head's 7, got 7") && ContainsSubstring("positions_test.cpp:"));
  CHECK_THROWS_WITH(rotary(x, {.width = 8}), ContainsSubstring("got 8"));
  CHECK_THROWS_WITH(rotary(x, {.width = 6, .base = 1}), ContainsSubstring("base must be above 1"));
  CHECK_THROWS_WITH(rotary(half), ContainsSubstring("[batch, time, heads, width]"));
  CHECK_THROWS_WITH(rotary(x, {.width = 6, .from = {.start = half}}), ContainsSubstring("start from a whole number"));
  CHECK_THROWS_WITH(sinusoidal_positions(graph, 4, 5), ContainsSubstring("even and positive, got 5"));
  CHECK_THROWS_WITH(sinusoidal_positions(graph, 4, 4, {.base = 0.5}), ContainsSubstring("base must be above 1"));
  CHECK_THROWS_WITH(sinusoidal_positions(graph, 4, 4, {.dtype = i64}), ContainsSubstring("must be floating"));
  CHECK_THROWS_WITH(alibi_slopes(0), ContainsSubstring("at least one head"));
  CHECK_THROWS_WITH(relative_buckets({.buckets = 30}), ContainsSubstring("multiple of 4, got 30"));
  CHECK_THROWS_WITH(relative_buckets({.max_distance = 8}), ContainsSubstring("above the 8 distances"));
}
