#include <support/catch.h>

#include <weft/inspect/op/check_op.h>
#include <weft/ops/attention/flash.h>
#include <weft/weft.h>

#include <cmath>
#include <limits>

using namespace weft;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor normal(Tensor::Extents extents, std::uint32_t stream, DType dtype = f64) {
  Tensor drawn(f64, std::move(extents));
  normal_fill(drawn.data<double>(), drawn.size(), 0, random_key(5, stream), 0);
  return drawn.cast(dtype);
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.extents() == b.extents());
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (a.at(i) != b.at(i)) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

// q, k and v of one graph, and what to feed them.
struct Setup {
  Graph graph;
  Tensor q, k, v;
  Value q_in, k_in, v_in;

  Setup(std::int64_t batch, std::int64_t time_q, std::int64_t time_k, std::int64_t heads, std::int64_t kv_heads,
        std::int64_t width)
      : q(normal({batch, time_q, heads, width}, 1)),
        k(normal({batch, time_k, kv_heads, width}, 2)),
        v(normal({batch, time_k, kv_heads, width}, 3)) {
    graph.strict(true);
    q_in = graph.input("q", f64, {batch, time_q, heads, width});
    k_in = graph.input("k", f64, {batch, time_k, kv_heads, width});
    v_in = graph.input("v", f64, {batch, time_k, kv_heads, width});
  }
  Value attend(const AttentionOptions& options = {}) const { return attention(q_in, k_in, v_in, options); }
  std::vector<Tensor> run(const std::vector<Value>& values, std::vector<Feed> more = {}) const {
    const std::pair<const char*, const Tensor*> own[] = {{"q", &q}, {"k", &k}, {"v", &v}};
    for (const auto& [name, tensor] : own) more.emplace_back(name, *tensor);
    // What is fed is fetched too: an input that nobody reads must not be fed.
    std::vector<Value> all = values;
    for (const Feed& feed : more) all.push_back(graph.find_name(feed.name));
    std::vector<Tensor> tensors = evaluate(all, more);
    tensors.resize(values.size());
    return tensors;
  }
  Tensor run(const Value& value, std::vector<Feed> more = {}) const {
    return run(std::vector<Value>{value}, std::move(more)).front();
  }
  // d <y, normal> / d (q, k, v)
  std::vector<Tensor> gradients(const Value& y, std::vector<Feed> more = {}) {
    const Value cotangent = graph.constant({y.type(), [&] {
                                              const Tensor t = normal(y.shape().extents(), 9);
                                              return std::vector<std::byte>(t.raw(), t.raw() + t.bytes());
                                            }()});
    return run(vector_jacobian({y}, {cotangent}, {q_in, k_in, v_in}), std::move(more));
  }
};

}  // namespace

TEST_CASE("attention of three tokens is the published formula", "[core][ops]") {
  // softmax([1 0; 0 1; 1 1] [1 0; 0 1; 1 1]^T / sqrt(2)) [1 2 3]^T, by hand.
  Graph graph;
  const Value x = graph.input("x", f64, {1, 3, 1, 2}), v = graph.input("v", f64, {1, 3, 1, 1});
  const Tensor points = Tensor::of<double>({1, 3, 1, 2}, {1, 0, 0, 1, 1, 1}),
               values = Tensor::of<double>({1, 3, 1, 1}, {1, 2, 3});
  const Tensor y = evaluate(attention(x, x, v), {{"x", points}, {"v", values}});
  const double e = std::exp(1 / std::sqrt(2.0));
  CHECK(y.at(0) == Approx((1 * e + 2 * 1 + 3 * e) / (e + 1 + e)).epsilon(1e-14));
  CHECK(y.at(1) == Approx((1 * 1 + 2 * e + 3 * e) / (1 + e + e)).epsilon(1e-14));
  CHECK(y.at(2) == Approx((1 * e + 2 * e + 3 * e * e) / (e + e + e * e)).epsilon(1e-14));
}

TEST_CASE("queries without keys give zeros and zero gradients", "[core][ops]") {
  Setup s(2, 6, 6, 2, 2, 4);
  Tensor mask(boolean, {2, 1, 6, 6});
  for (std::int64_t i = 0; i < mask.size(); ++i) mask.data<bool>()[i] = i / 6 % 6 >= 2;  // queries 0 and 1 see nothing
  const Value allowed = s.graph.input("mask", boolean, {2, 1, 6, 6});
  const Values outputs = attention_outputs(s.q_in, s.k_in, s.v_in, {.mask = allowed});
  const std::vector<Tensor> got = s.run({outputs[0], outputs[1]}, {{"mask", mask}});
  const std::vector<Tensor> d = s.gradients(outputs[0], {{"mask", mask}});
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t i = 0; i < 6; ++i)
      for (std::int64_t e = 0; e < 8; ++e) {
        CHECK((got[0].at((b * 6 + i) * 8 + e) == 0) == (i < 2));
        CHECK((d[0].at((b * 6 + i) * 8 + e) == 0) == (i < 2));
        CHECK(std::isfinite(d[1].at((b * 6 + i) * 8 + e)));
        CHECK(std::isfinite(d[2].at((b * 6 + i) * 8 + e)));
      }
  CHECK(got[1].at(0) == -infinity);
  CHECK(std::isfinite(got[1].at(2)));
}

TEST_CASE("one token at a time equals the full causal pass", "[core][ops]") {
  const Setup s(2, 5, 5, 4, 2, 3);
  const Tensor full = s.run(s.attend({.causal = true}));
  for (std::int64_t i = 0; i < 5; ++i) {
    const Value one = slice(s.q_in, {.axis = 1, .start = i, .stop = i + 1});
    const Tensor by_attribute = s.run(attention(one, s.k_in, s.v_in, {.causal = true, .offset = i}));
    Setup again(2, 5, 5, 4, 2, 3);
    const Value start = again.graph.input("start", i64, {});
    const Value token = slice(again.q_in, {.axis = 1, .start = i, .stop = i + 1});
    const Tensor position = Tensor::scalar<std::int64_t>(i);
    const Tensor at_run_time =
        again.run(attention(token, again.k_in, again.v_in, {.causal = true, .start = start}), {{"start", position}});
    CHECK(same_bits(by_attribute, at_run_time));
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t e = 0; e < 12; ++e)
        CHECK(by_attribute.at(b * 12 + e) == Approx(full.at((b * 5 + i) * 12 + e)).epsilon(1e-13));
  }
}

TEST_CASE("lengths and windows equal the masks that say the same", "[core][ops]") {
  Setup s(2, 6, 6, 2, 1, 3);
  const Value lengths = s.graph.input("lengths", i32, {2}), mask = s.graph.input("mask", boolean, {2, 1, 6, 6});
  const Tensor keys = Tensor::of<std::int32_t>({2}, {6, 4});
  Tensor allowed(boolean, {2, 1, 6, 6});
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t i = 0; i < 6; ++i)
      for (std::int64_t j = 0; j < 6; ++j)
        allowed.data<bool>()[(b * 6 + i) * 6 + j] = j <= i && i - j < 3 && j < static_cast<std::int64_t>(keys.at(b));
  const Value by_rule = s.attend({.causal = true, .window = 3, .lengths = lengths});
  const Value by_mask = s.attend({.mask = mask});
  const std::vector<Feed> feeds{{"lengths", keys}, {"mask", allowed}};
  CHECK(distance(s.run(by_rule, feeds), s.run(by_mask, feeds)) < 1e-14);
  const auto a = s.gradients(by_rule, feeds), b = s.gradients(by_mask, feeds);
  for (std::size_t i = 0; i < 3; ++i) CHECK(distance(a[i], b[i]) < 1e-14);
}

TEST_CASE("grouped heads equal keys and values repeated for each head", "[core][ops]") {
  Setup s(2, 4, 5, 6, 2, 3);
  const auto repeated = [](const Value& x) {  // [2, 5, 2, 3] -> [2, 5, 6, 3]
    return reshape(broadcast_to(unsqueeze(x, 3), {2, 5, 2, 3, 3}), {2, 5, 6, 3});
  };
  const Value grouped = s.attend(), full = attention(s.q_in, repeated(s.k_in), repeated(s.v_in));
  CHECK(distance(s.run(grouped), s.run(full)) < 1e-14);
  const auto a = s.gradients(grouped), b = s.gradients(full);
  for (std::size_t i = 0; i < 3; ++i) CHECK(distance(a[i], b[i]) < 1e-13);
}

TEST_CASE("a score modifier runs as nodes and equals the bias that says the same", "[core][ops]") {
  Setup s(2, 5, 5, 2, 2, 3);
  // ALiBi: -m_h (i - j)
  const auto slope = [](const AttentionScore& at) { return 0.5 / (cast(at.head, f64) + 1.0); };
  const auto distance_of = [](const AttentionScore& at) { return cast(at.query - at.key, f64); };
  const Value modified = s.attend(
      {.causal = true, .score = [&](const AttentionScore& at) { return at.score - slope(at) * distance_of(at); }});
  Tensor alibi(f64, {2, 5, 5});
  for (std::int64_t h = 0; h < 2; ++h)
    for (std::int64_t i = 0; i < 5; ++i)
      for (std::int64_t j = 0; j < 5; ++j)
        alibi.data<double>()[(h * 5 + i) * 5 + j] = -0.5 / static_cast<double>(h + 1) * static_cast<double>(i - j);
  const Value bias = s.graph.input("alibi", f64, {2, 5, 5});
  const Value biased = s.attend({.causal = true, .bias = bias});
  const std::vector<Feed> feeds{{"alibi", alibi}};
  CHECK(distance(s.run(modified, feeds), s.run(biased, feeds)) < 1e-14);
  const auto a = s.gradients(modified, feeds), b = s.gradients(biased, feeds);
  for (std::size_t i = 0; i < 3; ++i) CHECK(distance(a[i], b[i]) < 1e-13);
}

TEST_CASE("a finite fill follows the plain formula: a fully masked row sees all keys alike", "[core][ops]") {
  Setup s(1, 2, 4, 1, 1, 3);
  const Value nothing = s.graph.input("mask", boolean, {1, 1, 2, 4});
  const Tensor none(boolean, {1, 1, 2, 4});
  const Tensor y = s.run(s.attend({.mask = nothing, .fill = -1e9}), {{"mask", none}});
  for (std::int64_t e = 0; e < 3; ++e) {
    double mean = 0;
    for (std::int64_t j = 0; j < 4; ++j) mean += s.v.at(j * 3 + e) / 4;
    CHECK(y.at(e) == Approx(mean).epsilon(1e-12));
  }
}

TEST_CASE("clipped scores stay within the bound", "[core][ops]") {
  const Setup s(1, 3, 4, 1, 1, 2);
  const Tensor p = s.run(attention_weights(s.q_in, s.k_in, {.scale = 1000, .clip = 1}));
  for (std::int64_t i = 0; i < p.size(); ++i) CHECK(p.at(i) >= 1 / (1 + 3 * std::exp(2.0)) - 1e-12);
}

TEST_CASE("rows of the weights sum to one, and attention is their product with the values", "[core][ops]") {
  const Setup s(2, 4, 6, 3, 3, 5);
  const AttentionOptions options{.causal = true, .temperature = 0.7, .soft_cap = 2};
  const Tensor p = s.run(attention_weights(s.q_in, s.k_in, options)), y = s.run(s.attend(options));
  REQUIRE(p.extents() == Tensor::Extents{2, 3, 4, 6});
  for (std::int64_t row = 0; row < 24; ++row) {
    const std::int64_t b = row / 12, h = row / 4 % 3, i = row % 4;
    double sum = 0, first = 0;
    for (std::int64_t j = 0; j < 6; ++j) {
      sum += p.at(row * 6 + j);
      first += p.at(row * 6 + j) * s.v.at(((b * 6 + j) * 3 + h) * 5);
    }
    CHECK(sum == Approx(1).epsilon(1e-14));
    CHECK(y.at(((b * 4 + i) * 3 + h) * 5) == Approx(first).epsilon(1e-12));
  }
}

TEST_CASE("without positions, permuted tokens give permuted outputs", "[ops]") {
  Setup s(1, 7, 7, 2, 2, 4);
  const Tensor y = s.run(s.attend());
  const auto rotate = [](const Tensor& x) {  // token i moves to i + 3
    Tensor to = x.clone();
    for (std::int64_t i = 0; i < x.size(); ++i) to.data<double>()[(i + 3 * 8) % x.size()] = x.at(i);
    return to;
  };
  for (Tensor* x : {&s.q, &s.k, &s.v}) *x = rotate(*x);
  CHECK(distance(s.run(s.attend()), rotate(y)) < 1e-13);
}

TEST_CASE("attention's workspace does not grow with the square of the length", "[core][ops]") {
  const auto workspace = [](std::int64_t time) {
    const TensorType x{f32, {1, time, 4, 32}}, row{f32, {1, 4, time}};
    const Attributes attributes{{"causal", true}, {"dropout", 0.1}, {"scale", 0.2}, {"stream", std::int64_t{1}}};
    const TensorType* in[] = {&x, &x, &x, nullptr, nullptr, nullptr, nullptr, &x, &row, &x, nullptr};
    const TensorType out[] = {x, x, x};
    const OpView view{attention_backward_op(), attributes, in, out};
    return static_cast<double>(attention_backward_op().kernel(f32)->workspace(view, 2));
  };
  // Few heads: each chunk of keys sums its share of d_q in a buffer of d_q's size.
  CHECK(workspace(8192) < 4 * workspace(2048));
  CHECK(workspace(8192) < 4 * 8192 * 4 * 32 * sizeof(float));
}

TEST_CASE("evaluation drops the dropout of attention", "[core][ops]") {
  Graph graph;
  const Value q = graph.input("q", f32, {2, 9, 2, 4});
  const Value y = attention(q, q, q, {.dropout = 0.5}), plain = attention(q, q, q);
  const Tensor x = normal({2, 9, 2, 4}, 1, f32);
  CHECK_FALSE(same_bits(evaluate(y, {{"q", x}}), evaluate(plain, {{"q", x}})));
  const Values rule =
      attention_op().evaluation({y.graph().contains(y) ? Values{q, q, q} : Values{}, y.node().attributes, {}});
  CHECK(same_bits(evaluate(rule[0], {{"q", x}}), evaluate(plain, {{"q", x}})));
}

TEST_CASE("a padding mask hides the padding", "[core][ops]") {
  Graph graph;
  const Value tokens = graph.input("tokens", i64, {2, 3});
  const Tensor mask =
      evaluate(padding_mask(tokens, 0), {{"tokens", Tensor::of<std::int64_t>({2, 3}, {5, 0, 0, 7, 8, 0})}});
  REQUIRE(mask.extents() == Tensor::Extents{2, 1, 1, 3});
  CHECK(mask.at(0) == 1);
  CHECK(mask.at(1) == 0);
  CHECK(mask.at(4) == 1);
}

// What a processor with bf16 arithmetic runs, with emulated products where there is none.
TEST_CASE("tiles in bf16 arithmetic pass attention's checks", "[ops][attention]") {
  for (const OpDef* op : {&attention_op(), &attention_backward_op()}) {
    OpDef low = *op;
    for (Sample& sample : low.samples) sample.attributes.set("low", true);
    const OpCheck result = check_op(low);
    INFO(result.str());
    CHECK(result.passed());
  }
}

TEST_CASE("a plan takes attention's products in bf16 where it is asked to", "[core][ops][attention]") {
  Graph graph;
  const Value x = graph.input("x", bf16, {2, 40, 2, 16});
  const Value w = graph.parameter("w", {bf16, {16}}, init::ones());
  const Value q = x * w, y = attention(q, x, x, {.causal = true});
  const Step step = training_step(mean(square(cast(y, f32)))) | fetch_gradients();
  const PlanOptions options{.lowering = {.enabled = {"attention_in_bf16"}}};
  const auto low = [](const Plan& planned) {
    int found = 0;
    for (const NodeId id : planned.schedule) found += planned.step.graph.node(id).attributes.flag("low") ? 1 : 0;
    return found;
  };
  CHECK(low(plan(step)) == 0);
  CHECK(low(plan(step, options)) == 2);  // forward and backward

  const Tensor fed = normal({2, 40, 2, 16}, 1, bf16);
  const auto gradient = [&](const PlanOptions& with) {
    Store store(step);
    Program program(step, store, with);
    return program.run({{"x", fed}}).tensor(step.fetches.back().name).clone();
  };
  const Tensor asked = gradient(options), plain = gradient({});
  double largest = 0, difference = 0;
  for (std::int64_t i = 0; i < plain.size(); ++i) {
    largest = std::max(largest, std::abs(plain.at(i)));
    difference = std::max(difference, std::abs(plain.at(i) - asked.at(i)));
  }
  CHECK(largest > 0);
  CHECK(difference <= 0.05 * largest);  // weights are rounded to bf16, 2^-9, before each product
  if (bf16_is_emulated()) CHECK_FALSE(same_bits(asked, plain));
  else CHECK(same_bits(asked, plain));
}
