// Losses against the formulas of PyTorch's documentation (torch.nn.functional), evaluated number by number, and their
// gradients against finite differences.
#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/inspect/op/check_gradients.h>
#include <weft/ops/loss/loss.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/program.h>

#include <algorithm>
#include <cmath>
#include <functional>

using namespace weft;

namespace {

// Pairs of every kind: near, far, on both sides, none at a kink of a loss below.
const std::vector<double> inputs{0.3, -1.7, 2.9, 0.05, -0.4, 12};
const std::vector<double> targets{0.1, 1.2, 2.2, 0.95, -0.9, 3};
const std::vector<double> shares{0.1, 1, 0.7, 0.25, 0, 0.5};  // as targets in [0, 1]

Tensor row(const std::vector<double>& values) {
  return Tensor::of<double>({static_cast<std::int64_t>(values.size())}, std::span<const double>(values));
}

struct Pair {
  Graph graph;
  Value x = graph.input("x", f64, {6}), t = graph.input("t", f64, {6});
  std::vector<Feed> feeds;
  Tensor xs = row(inputs), ts;
  explicit Pair(const std::vector<double>& t_values = targets) : ts(row(t_values)) {
    graph.strict(true);
    feeds.emplace_back("x", xs);
    feeds.emplace_back("t", ts);
  }
};

using Law = std::function<double(double x, double t)>;

void expect_law(const std::function<Value(const Value&, const Value&)>& losses, const Law& law,
                const std::vector<double>& t_values = targets) {
  const Pair p(t_values);
  const Value y = losses(p.x, p.t);
  const Tensor got = evaluate(std::vector<Value>{y}, p.feeds).front();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    INFO("element " << i);
    CHECK(got.at(static_cast<std::int64_t>(i)) == Approx(law(inputs[i], t_values[i])).epsilon(1e-14));
  }
  const GradientCheck check = check_gradients({y}, {p.x, p.t}, p.feeds);
  INFO(check.str());
  CHECK(check.passed());
}

double ratio(const Loss& loss, const std::vector<Feed>& feeds) {
  const auto y = evaluate({loss.terms.front().sum, loss.terms.front().weight}, feeds);
  return y[0].item() / y[1].item();
}

}  // namespace

TEST_CASE("losses of differences are torch's formulas", "[core][ops]") {
  expect_law([](auto& x, auto& t) { return mse_losses(x, t); }, [](double x, double t) { return (x - t) * (x - t); });
  expect_law([](auto& x, auto& t) { return l1_losses(x, t); }, [](double x, double t) { return std::abs(x - t); });
  for (const double delta : {0.25, 1.5})
    expect_law([&](auto& x, auto& t) { return huber_losses(x, t, delta); },
               [&](double x, double t) {
                 const double d = std::abs(x - t);
                 return d <= delta ? d * d / 2 : delta * (d - delta / 2);
               });
  for (const double beta : {0.25, 1.5})
    expect_law([&](auto& x, auto& t) { return smooth_l1_losses(x, t, beta); },
               [&](double x, double t) {
                 const double d = std::abs(x - t);
                 return d < beta ? d * d / (2 * beta) : d - beta / 2;
               });
  expect_law([](auto& x, auto& t) { return smooth_l1_losses(x, t, 0); },
             [](double x, double t) { return std::abs(x - t); });
}

TEST_CASE("binary cross entropy with logits is torch's formula, with both weights", "[core][ops]") {
  const auto s = [](double x) { return 1 / (1 + std::exp(-x)); };
  expect_law([](auto& x, auto& t) { return binary_cross_entropy_with_logits_losses(x, t); },
             [&](double x, double t) { return -(t * std::log(s(x)) + (1 - t) * std::log(s(-x))); }, shares);
  expect_law(
      [](auto& x, auto& t) {
        const Value three = x.graph().constant({{f64, {}}, [] {
                                                  const double value = 3;
                                                  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
                                                  return std::vector<std::byte>(bytes, bytes + sizeof(value));
                                                }()});
        return binary_cross_entropy_with_logits_losses(x, t, {.weight = three, .pos_weight = three});
      },
      [&](double x, double t) { return -3 * (3 * t * std::log(s(x)) + (1 - t) * std::log(s(-x))); }, shares);
}

TEST_CASE("binary cross entropy of logits of 10000 is finite, and its gradient too", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4}), t = graph.input("t", boolean, {4});
  const Value y = binary_cross_entropy_with_logits_losses(x, t);
  const Tensor logits = Tensor::of<float>({4}, {1e4F, 1e4F, -1e4F, -1e4F}),
               hot = Tensor::of<bool>({4}, {true, false, true, false});
  const auto got = evaluate({y, gradient(sum(y), {x})[0]}, std::vector<Feed>{{"x", logits}, {"t", hot}});
  const double losses[] = {0, 1e4, 1e4, 0}, slopes[] = {0, 1, -1, 0};
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(got[0].at(i) == losses[i]);
    CHECK(got[1].at(i) == slopes[i]);
  }
}

TEST_CASE("the derivative of l1 at 0 is 0, and of huber and smooth l1 at the kink the line's", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {3});
  const Tensor at = Tensor::of<double>({3}, {0, 1, -1});
  const auto slope = [&](const Value& y) {
    return evaluate(std::vector<Value>{gradient(sum(y), {x})[0]}, std::vector<Feed>{{"x", at}}).front();
  };
  CHECK(slope(l1_losses(x, 0.0)).at(0) == 0);
  for (const Value& y : {huber_losses(x, 0.0), smooth_l1_losses(x, 0.0)}) {
    CHECK(slope(y).at(0) == 0);
    CHECK(slope(y).at(1) == 1);
    CHECK(slope(y).at(2) == -1);
  }
}

TEST_CASE("kl_div of distributions is sum p (log p - log q), and nothing where p = 0", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2, 3}), t = graph.input("t", f64, {2, 3});
  const Tensor log_q =
      Tensor::of<double>({2, 3}, {std::log(0.2), std::log(0.3), std::log(0.5), std::log(0.1), std::log(0.9), -1e300});
  const Tensor p = Tensor::of<double>({2, 3}, {0.5, 0.25, 0.25, 0.4, 0.6, 0});
  const std::vector<Feed> feeds{{"x", log_q}, {"t", p}};
  const Value y = kl_div_losses(x, t);
  const auto got = evaluate({y, gradient(sum(y), {x})[0]}, feeds);
  CHECK(got[0].at(0) ==
        Approx(0.5 * std::log(0.5 / 0.2) + 0.25 * std::log(0.25 / 0.3) + 0.25 * std::log(0.25 / 0.5)).epsilon(1e-14));
  CHECK(got[0].at(1) == Approx(0.4 * std::log(0.4 / 0.1) + 0.6 * std::log(0.6 / 0.9)).epsilon(1e-14));
  for (std::int64_t i = 0; i < 6; ++i) CHECK(got[1].at(i) == -p.at(i));
  CHECK(ratio(kl_div(x, t), feeds) == Approx((got[0].at(0) + got[0].at(1)) / 2).epsilon(1e-14));

  Graph logs;
  const Value a = logs.input("a", f64, {2, 3}), b = logs.input("b", f64, {2, 3});
  const Tensor as = Tensor::of<double>({2, 3}, {-1, -2, -0.5, -0.7, -3, -1.1}),
               bs = Tensor::of<double>({2, 3}, {-0.9, -1, -2, -1.5, -0.2, -4});
  const std::vector<Feed> both{{"a", as}, {"b", bs}};
  const Value by_logs = kl_div_losses(a, b, {.log_target = true});
  const Tensor values = evaluate(std::vector<Value>{by_logs}, both).front();
  for (std::int64_t r = 0; r < 2; ++r) {
    double want = 0;
    for (std::int64_t c = 0; c < 3; ++c) want += std::exp(bs.at(3 * r + c)) * (bs.at(3 * r + c) - as.at(3 * r + c));
    CHECK(values.at(r) == Approx(want).epsilon(1e-14));
  }
  CHECK(check_gradients({by_logs}, {a, b}, both).passed());
}

TEST_CASE("cosines are torch's, with the margin and the least norm", "[core][ops]") {
  Graph graph;
  const Value a = graph.input("a", f64, {4, 3}), b = graph.input("b", f64, {4, 3}), t = graph.input("t", i64, {4});
  const Tensor as = Tensor::of<double>({4, 3}, {1, 2, -1, 0.5, -0.3, 2, 1, 1, 1, -2, 0.1, 0.4});
  const Tensor bs = Tensor::of<double>({4, 3}, {0.2, 1, 1, 1.5, 0.7, 1, -1, -1, -0.5, 0.3, 0.3, -0.3});
  const Tensor ts = Tensor::of<std::int64_t>({4}, {1, -1, -1, 1});
  const std::vector<Feed> feeds{{"a", as}, {"b", bs}, {"t", ts}};
  const Value similar = cosine_similarity(a, b), losses = cosine_embedding_losses(a, b, t, {.margin = 0.2});
  const auto got = evaluate({similar, losses}, feeds);
  for (std::int64_t r = 0; r < 4; ++r) {
    double ab = 0, aa = 0, bb = 0;
    for (std::int64_t c = 0; c < 3; ++c) {
      const double x = as.at(3 * r + c), y = bs.at(3 * r + c);
      ab += x * y, aa += x * x, bb += y * y;
    }
    const double cosine = ab / std::sqrt(aa * bb);
    CHECK(got[0].at(r) == Approx(cosine).epsilon(1e-14));
    CHECK(got[1].at(r) == Approx(ts.at(r) > 0 ? 1 - cosine : std::max(0.0, cosine - 0.2)).epsilon(1e-10));
  }
  CHECK(check_gradients({similar, losses}, {a, b}, feeds).passed());
  Graph tiny;
  const Value z = tiny.input("z", f64, {2});
  const Tensor zero(f64, {2});
  const Value y = cosine_similarity(z, z);
  const auto at_zero = evaluate({y, gradient(y, {z})[0]}, std::vector<Feed>{{"z", zero}});
  CHECK(at_zero[0].item() == 0);
  CHECK(at_zero[1].at(0) == 0);
}

TEST_CASE("sum over weight is torch's mean, with weights of the elements too", "[core][ops]") {
  const Pair p;
  double plain = 0, weighted = 0, weights = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    const double d = inputs[i] - targets[i];
    plain += d * d / 6;
    weighted += shares[i] * d * d;
    weights += shares[i];
  }
  CHECK(ratio(mse_loss(p.x, p.t), p.feeds) == Approx(plain).epsilon(1e-14));
  Pair with;
  const Value w = with.graph.input("w", f64, {6});
  const Tensor ws = row(shares);
  std::vector<Feed> feeds = with.feeds;
  feeds.emplace_back("w", ws);
  CHECK(ratio(mse_loss(with.x, with.t, {.weight = w}), feeds) == Approx(weighted / weights).epsilon(1e-14));
}

TEST_CASE("bf16 inputs give losses in f32", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", bf16, {3}), t = graph.input("t", bf16, {3});
  for (const Value& y : {mse_losses(x, t), l1_losses(x, t), huber_losses(x, t), smooth_l1_losses(x, t),
                         binary_cross_entropy_with_logits_losses(x, t), kl_div_losses(x, t), cosine_similarity(x, t)})
    CHECK(y.dtype() == f32);
}

TEST_CASE("a target that would broadcast, and options out of range, are refused", "[core][ops][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3, 2}), t = graph.input("t", f32, {3, 1}), n = graph.input("n", i64, {2});
  CHECK_THROWS_WITH(mse_loss(x, t),
                    ContainsSubstring("mse_loss: the target must be of the input's shape [3, 2], got [3, 1]"));
  CHECK_THROWS_WITH(l1_losses(x, t), ContainsSubstring("l1_loss: the target"));
  CHECK_THROWS_WITH(binary_cross_entropy_with_logits(x, t),
                    ContainsSubstring("binary_cross_entropy_with_logits: the target"));
  CHECK_THROWS_WITH(kl_div(x, t), ContainsSubstring("kl_div: the target"));
  CHECK_THROWS_WITH(huber_loss(x, x, {.delta = 0}), ContainsSubstring("delta must be above 0, got 0"));
  CHECK_THROWS_WITH(smooth_l1_loss(x, x, {.beta = -1}), ContainsSubstring("beta must be at least 0, got -1"));
  CHECK_THROWS_WITH(cosine_embedding_loss(x, x, n), ContainsSubstring("with targets [..], got [3, 2] and [2]"));
  CHECK_THROWS_WITH(mse_loss(1.0, x), ContainsSubstring("the input must be a Value, got the number 1"));
}

// torch.nn.functional (2.13): mse_loss and l1_loss divide by the sum of the weights, huber_loss by the number of
// elements.
TEST_CASE("weights enter the divisor as they do in torch", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {2}), t = graph.input("t", f64, {2}), w = graph.input("w", f64, {2});
  const Tensor xs = Tensor::of<double>({2}, {0, 3}), ts = Tensor::of<double>({2}, {0.5, 0});
  const Tensor ws = Tensor::of<double>({2}, {2, 0.5});
  const auto mean = [&](const Loss& loss) {
    return evaluate(loss.terms[0].sum / loss.terms[0].weight, {{"x", xs}, {"t", ts}, {"w", ws}}).item();
  };
  CHECK(mean(mse_loss(x, t, {.weight = w})) == Approx((2 * 0.25 + 0.5 * 9) / 2.5));
  CHECK(mean(l1_loss(x, t, {.weight = w})) == Approx((2 * 0.5 + 0.5 * 3) / 2.5));
  CHECK(mean(huber_loss(x, t, {.delta = 1, .weight = w})) == Approx((2 * 0.125 + 0.5 * 2.5) / 2));
  CHECK(mean(smooth_l1_loss(x, t, {.beta = 1, .weight = w})) == Approx((2 * 0.125 + 0.5 * 2.5) / 2));
}
