// Functions made of other ops, and the newer ops, against PyTorch's values and gradients (functions/functions.py).
#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/index/index.h>
#include <weft/ops/index/sampling.h>
#include <weft/ops/index/sort.h>
#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/norm/rms_norm.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/product/einsum.h>
#include <weft/ops/product/feed_forward.h>
#include <weft/ops/reduce/scan.h>
#include <weft/ops/reduce/statistics.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/movement.h>
#include <weft/runtime/program.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

using namespace weft;

namespace {

Tensor wave(int seed, const Tensor::Extents& extents) {
  Tensor x(f64, extents);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data<double>()[i] = std::sin(seed + 1.7 * static_cast<double>(i));
  return x;
}

std::map<std::string, std::vector<double>> stored() {
  std::ifstream file(WEFT_TESTS_DIR "/ops/functions/functions.txt");
  std::map<std::string, std::vector<double>> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double number; words >> number;) lines[name].push_back(number);
  }
  return lines;
}

using Function = std::function<Value(const std::vector<Value>&)>;
struct Case {
  std::string name;
  Function function;
  std::vector<Tensor::Extents> shapes;
};

std::vector<double> computed(const Case& c) {
  Graph graph;
  std::vector<Value> in;
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < c.shapes.size(); ++i) {
    in.push_back(graph.input(fmt::format("x{}", i), f64, Shape(std::span<const std::int64_t>(c.shapes[i]))));
    tensors.push_back(wave(static_cast<int>(i), c.shapes[i]));
  }
  const Value y = c.function(in);
  graph.check();
  const Value cotangent = graph.input("cotangent", f64, y.shape());
  tensors.push_back(wave(9, y.shape().extents()));
  std::vector<Value> wanted{y};
  for (const Value& gradient : vector_jacobian({y}, {cotangent}, in)) wanted.push_back(gradient);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < in.size(); ++i) names.push_back(fmt::format("x{}", i));
  names.emplace_back("cotangent");
  std::vector<Feed> feeds;
  for (std::size_t i = 0; i < names.size(); ++i) feeds.emplace_back(names[i], tensors[i]);
  std::vector<double> numbers;
  for (const Tensor& tensor : evaluate(wanted, feeds))
    for (std::int64_t i = 0; i < tensor.size(); ++i) numbers.push_back(tensor.at(i));
  return numbers;
}

template <class T>
Constant constant_of(const std::vector<T>& values, const Tensor::Extents& extents) {
  Constant constant{{dtype_of<T>, Shape(std::span<const std::int64_t>(extents))}, {}};
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  constant.bytes.assign(bytes, bytes + values.size() * sizeof(T));
  return constant;
}

Value ids(const Value& like, const Tensor::Extents& extents, const std::vector<std::int64_t>& values) {
  return like.graph().constant(constant_of(values, extents));
}

std::vector<Case> cases() {
  const auto of_einsum = [](const std::string& equation) {
    return [equation](const std::vector<Value>& x) { return einsum(equation, x); };
  };
  return {
      {"roll", [](auto& x) { return roll(x[0], 2, 1); }, {{2, 5}}},
      {"roll_back", [](auto& x) { return roll(x[0], -4, 0); }, {{3, 2}}},
      {"split",
       [](auto& x) {
         const std::vector<Value> p = split(x[0], {1, 3, 2}, 1);
         return concatenate({p[0], p[1] * 2.0, p[2] * 3.0}, 1);
       },
       {{2, 6}}},
      {"repeat", [](auto& x) { return repeat(x[0], {2, 3}); }, {{2, 3}}},
      {"repeat_interleave", [](auto& x) { return repeat_interleave(x[0], 3, 1); }, {{2, 2}}},
      {"prod", [](auto& x) { return prod(x[0], {.axes = {1}}); }, {{3, 4}}},
      {"var", [](auto& x) { return var(x[0], {.axes = {0, 2}}); }, {{3, 2, 4}}},
      {"var_biased", [](auto& x) { return var(x[0], {.axes = {1}, .keep = true}, 0); }, {{3, 4}}},
      {"std", [](auto& x) { return std_dev(x[0], {.axes = {1}}); }, {{3, 4}}},
      {"logsumexp", [](auto& x) { return logsumexp(x[0], ReduceOptions{.axes = {0, 2}}); }, {{3, 2, 4}}},
      {"outer", [](auto& x) { return outer(x[0], x[1]); }, {{3}, {4}}},
      {"gram", [](auto& x) { return gram(x[0]); }, {{2, 3, 4}}},
      {"einsum_matmul", of_einsum("ij,jk->ik"), {{3, 4}, {4, 2}}},
      {"einsum_scores", of_einsum("bqhd,bkhd->bhqk"), {{2, 3, 2, 4}, {2, 5, 2, 4}}},
      {"einsum_implicit", of_einsum("ba,bc"), {{3, 2}, {3, 4}}},
      {"einsum_ellipsis", of_einsum("...ij,...jk->...ik"), {{2, 1, 3, 4}, {5, 4, 2}}},
      {"einsum_trace", of_einsum("bii->b"), {{2, 3, 3}}},
      {"einsum_diagonal", of_einsum("ii->i"), {{4, 4}}},
      {"einsum_three", of_einsum("ij, jk, kl -> il"), {{2, 3}, {3, 4}, {4, 2}}},
      {"einsum_bilinear", of_einsum("bi,oij,bj->bo"), {{2, 3}, {4, 3, 5}, {2, 5}}},
      {"einsum_sum", of_einsum("ij->"), {{2, 3}}},
      {"einsum_transpose", of_einsum("ijk->kij"), {{2, 3, 4}}},
      {"group_norm",
       [](auto& x) { return group_norm(x[0], 2, {.weight = x[1], .bias = x[2], .eps = 1e-3}); },
       {{2, 4, 3}, {4}, {4}}},
      {"rms_norm", [](auto& x) { return rms_norm(x[0], x[1], {.eps = 1e-4}); }, {{3, 4}, {4}}},
      {"layer_norm",
       [](auto& x) { return layer_norm(x[0], x[1], x[2], {.axes = 2, .eps = 1e-3}); },
       {{4, 2, 3}, {2, 3}, {2, 3}}},
      {"gather", [](auto& x) { return gather(x[0], 1, ids(x[0], {2, 3}, {0, 2, 2, 4, 1, 0})); }, {{2, 5}}},
      {"index_select", [](auto& x) { return index_select(x[0], 1, ids(x[0], {3}, {4, 0, 4})); }, {{2, 5}}},
      {"scatter_add",
       [](auto& x) { return scatter_add(x[0], 1, ids(x[0], {2, 3}, {0, 2, 2, 4, 1, 0}), x[1]); },
       {{2, 5}, {2, 3}}},
      {"index_add", [](auto& x) { return index_add(x[0], 0, ids(x[0], {3}, {3, 0, 3}), x[1]); }, {{4, 2}, {3, 2}}},
      {"cumsum", [](auto& x) { return cumsum(x[0], 1); }, {{2, 4, 3}}},
      {"sort", [](auto& x) { return sort(x[0], 1, true).values; }, {{2, 6}}},
      {"topk", [](auto& x) { return topk(x[0], 3, 0).values; }, {{5, 2}}},
      {"pad", [](auto& x) { return pad(x[0], {{3, 0}, {1, 2}}, 0.5); }, {{2, 3}}},
      {"flip", [](auto& x) { return flip(x[0], {0, 2}); }, {{2, 3, 2}}},
      {"tril", [](auto& x) { return tril(x[0], -1); }, {{2, 3, 4}}},
      {"triu", [](auto& x) { return triu(x[0], 1); }, {{2, 3, 4}}},
      {"feed_forward", [](auto& x) { return feed_forward(x[0], x[1], x[2]); }, {{2, 3, 4}, {6, 4}, {4, 6}}},
  };
}

}  // namespace

TEST_CASE("functions give PyTorch's values and gradients", "[core][ops]") {
  const auto expected = stored();
  for (const Case& c : cases()) {
    INFO(c.name);
    REQUIRE(expected.contains(c.name));
    const std::vector<double>& want = expected.at(c.name);
    const std::vector<double> got = computed(c);
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO("number " << i);
      CHECK(std::abs(got[i] - want[i]) <= 1e-12 * std::max(1.0, std::abs(want[i])));
    }
  }
}

TEST_CASE("a malformed einsum names what is wrong", "[core][ops][errors]") {
  Graph graph;
  const Value a = graph.input("a", f32, {2, 3}), b = graph.input("b", f32, {4, 5});
  CHECK_THROWS_WITH(einsum("ij,jk->ik", {a}), ContainsSubstring("it names 2 operands, got 1"));
  CHECK_THROWS_WITH(einsum("ij,jk->ik", {a, b}),
                    ContainsSubstring("axis j is 3 and 4") && ContainsSubstring("functions_test.cpp:"));
  CHECK_THROWS_WITH(einsum("ijk->i", {a}), ContainsSubstring("names 3 axes, the operand has 2"));
  CHECK_THROWS_WITH(einsum("ij->ik", {a}), ContainsSubstring("'k' is in no operand"));
  CHECK_THROWS_WITH(einsum("ij->ii", {a}), ContainsSubstring("names an axis twice"));
  CHECK_THROWS_WITH(einsum("i1->i", {a}), ContainsSubstring("'1' is no letter"));
}

TEST_CASE("pieces and groups that do not fit are refused with the line", "[core][ops][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 6});
  CHECK_THROWS_WITH(split(x, {1, 2}, 1),
                    ContainsSubstring("must add up to 6") && ContainsSubstring("functions_test.cpp:"));
  CHECK_THROWS_WITH(split(x, 4, 1), ContainsSubstring("cannot be cut into 4 equal pieces"));
  CHECK_THROWS_WITH(repeat(x, {2}), ContainsSubstring("a number for each of the 2 axes"));
  CHECK_THROWS_WITH(group_norm(x, 4), ContainsSubstring("4 groups do not divide 6 channels"));
  CHECK_THROWS_WITH(outer(x, x), ContainsSubstring("expected two vectors"));
  CHECK_THROWS_WITH(prod(x, {.axes = {1, -1}}), ContainsSubstring("named twice"));
}

TEST_CASE("argmin is the first of the smallest, for floats and integers", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 4}), n = graph.input("n", i64, {3});
  const Tensor xs = Tensor::of<float>({2, 4}, {3, 1, 1, 2, 0, -1, 5, -1});
  const Tensor ns = Tensor::of<std::int64_t>({3}, {4, std::numeric_limits<std::int64_t>::min(), 2});
  const std::vector<Feed> feeds{{"x", xs}, {"n", ns}};
  const auto y = evaluate({argmin(x, 1), argmin(n, 0)}, feeds);
  CHECK(y[0].at(0) == 1);
  CHECK(y[0].at(1) == 1);
  CHECK(y[1].at(0) == 1);
}

TEST_CASE("random tensors have their moments, and bernoulli its share", "[core][ops]") {
  Graph graph;
  const Value u = uniform(graph, {300, 500}, -1, 3), z = normal(graph, {300, 500}, 2, 0.5);
  const Value p = graph.constant(constant_of(std::vector<float>(1000, 0.3F), {1000}));
  const auto y = evaluate({u, z, bernoulli(broadcast_to(p, {100, 1000}))}, {});
  const auto moments = [](const Tensor& x) {
    double mean = 0, square = 0;
    for (std::int64_t i = 0; i < x.size(); ++i) mean += x.at(i), square += x.at(i) * x.at(i);
    mean /= static_cast<double>(x.size());
    return std::pair{mean, square / static_cast<double>(x.size()) - mean * mean};
  };
  // Five standard deviations of the estimates.
  CHECK(std::abs(moments(y[0]).first - 1) < 0.015);
  CHECK(std::abs(moments(y[0]).second - 16.0 / 12) < 0.016);
  CHECK(std::abs(moments(y[1]).first - 2) < 0.0065);
  CHECK(std::abs(moments(y[1]).second - 0.25) < 0.0046);
  CHECK(std::abs(moments(y[2]).first - 0.3) < 0.0073);
  CHECK_FALSE(same_bits(y[0], y[1]));
}

TEST_CASE("an id outside the axis is an error of the run that names it", "[core][ops][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4}), at = graph.input("at", i64, {2});
  const Tensor xs(f32, {4}), wrong = Tensor::of<std::int64_t>({2}, {1, 4});
  const std::vector<Feed> feeds{{"x", xs}, {"at", wrong}};
  for (const Value& y : {gather(x, 0, at), index_select(x, 0, at)})
    CHECK_THROWS_WITH(evaluate({y}, feeds), ContainsSubstring("id 4 at [1] is no place along the axis"));
}
