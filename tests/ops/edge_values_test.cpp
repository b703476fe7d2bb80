// Values at the edges of types and formulas, each as torch gives it (2.13) or as the formula says in exact arithmetic.
#include <support/catch.h>

#include <weft/testing/equivalent_to.h>
#include <weft/weft.h>

#include <cmath>
#include <limits>

using namespace weft;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Value numbers(Graph graph, std::initializer_list<double> values, DType dtype = f64) {
  std::vector<Value> parts;
  for (const double value : values) parts.push_back(full(graph, {1}, dtype, value));
  return concatenate(parts, 0);
}

std::vector<double> derivative(const Value& y, const Value& x) {
  return doubles(evaluate(cast(gradient(y, {x}).front(), f64)));
}

}  // namespace

TEST_CASE("the derivatives of a power at 0 are those of the formula", "[core][ops]") {
  Graph graph;
  const Value x = graph.parameter("x", {f64, {}}, init::zeros());
  const Value first = gradient(pow(x, 0) + pow(x, 1) + pow(x, 2) + pow(x, 3), {x}).front();
  const Value second = gradient(first, {x}).front(), third = gradient(second, {x}).front();
  CHECK(evaluate(first).item() == 1);
  CHECK(evaluate(second).item() == 2);
  CHECK(evaluate(third).item() == 6);
  // By the power too: d^2/db^2 0^b = 0 for b > 0.
  const Value base = full(graph, {}, f64, 0), b = graph.parameter("b", {f64, {}}, init::constant(2));
  const Value by_power = gradient(pow(base, b), {b}).front();
  CHECK(evaluate(by_power).item() == 0);
  CHECK(evaluate(gradient(by_power, {b}).front()).item() == 0);
}

TEST_CASE("means and shared extremes of more elements than f16 counts", "[core][ops]") {
  for (const DType low : {f16, bf16}) {
    Graph graph;
    const Value x = graph.parameter("x", {f32, {70000}}, init::ones());
    const Value h = cast(x, low);
    const double tolerance = low == f16 ? 2e-3 : 4e-3;
    for (const Value& y : {mean(h), max(h), min(h)}) {
      const std::vector<double> d = derivative(cast(y, f32), x);
      CHECK(d.front() == Approx(1.0 / 70000).epsilon(tolerance));
      CHECK(d.back() == Approx(1.0 / 70000).epsilon(tolerance));
    }
    const Loss loss = weighted_mean(h);
    CHECK(evaluate(loss.terms[0].sum).item() == 70000);
    CHECK(evaluate(loss.terms[0].weight).item() == 70000);
  }
}

TEST_CASE("a variance of f16 and bf16 is computed in f32", "[core][ops]") {
  Graph graph;
  const Value x = numbers(graph, {-180, -140, -100, -60, -20, 20, 60, 100, 140, 180}, f32);
  CHECK(evaluate(cast(var(cast(x, f16)), f64)).item() == Approx(14664).epsilon(1e-6));
  const Value z = 100.0 + 0.5 * remainder(cast(iota(graph, 64), f32), 8.0);
  CHECK(evaluate(cast(var(cast(z, bf16)), f64)).item() == Approx(1.3359375).epsilon(1e-6));
  CHECK(evaluate(cast(std_dev(cast(x, f16)), f64)).item() == Approx(121.1).epsilon(1e-3));
}

TEST_CASE("a variance of too few elements is NaN", "[core][ops]") {
  Graph graph;
  CHECK(std::isnan(evaluate(var(zeros(graph, {1, 0}), {.axes = {1}})).at(0)));
  CHECK(std::isnan(evaluate(var(zeros(graph, {1, 1}), {.axes = {1}})).at(0)));
  CHECK(std::isnan(evaluate(var(zeros(graph, {1, 1}), {.axes = {1}}, 2)).at(0)));
  CHECK(evaluate(var(zeros(graph, {1, 1}), {.axes = {1}}, 0)).at(0) == 0);
}

TEST_CASE("where a deviation or a norm is 0, so is its gradient", "[core][ops]") {
  Graph graph;
  const Value ones = graph.parameter("ones", {f64, {3}}, init::ones());
  const Value zero = graph.parameter("zero", {f64, {3}}, init::zeros());
  const std::vector<double> nothing(3, 0.0);
  CHECK(evaluate(std_dev(ones)).item() == 0);
  CHECK(derivative(std_dev(ones), ones) == nothing);
  for (const double p : {1.0, 1.5, 2.0, 3.0, infinity}) {
    CHECK(evaluate(vector_norm(zero, {.p = p})).item() == 0);
    CHECK(derivative(vector_norm(zero, {.p = p}), zero) == nothing);
  }
}

TEST_CASE("vector norms", "[core][ops]") {
  Graph graph;
  const Value p = graph.parameter("p", {f64, {2, 2}}, init::zeros());
  const Value x = p + reshape(numbers(graph, {3, -4, 0, 2}), {2, 2});
  const auto values = [&](const VectorNormOptions& options) { return doubles(evaluate(vector_norm(x, options))); };
  CHECK(values({.p = 1}) == std::vector<double>{9});
  CHECK(values({.axes = {1}}) == std::vector<double>{5, 2});
  CHECK(values({.p = infinity, .axes = {0}}) == std::vector<double>{3, 4});
  CHECK(values({.p = 3, .axes = {1}})[0] == Approx(std::cbrt(91.0)));
  CHECK(evaluate(vector_norm(x, {.axes = {1}, .keep = true})).extents() == std::vector<std::int64_t>{2, 1});
  for (const double power : {1.0, 2.0, 3.0, infinity}) {
    const GradientCheck check = check_gradients(vector_norm(x + 0.5, {.p = power, .axes = {1}}), {p});
    INFO(check.str());
    CHECK(check.passed());
  }
  CHECK_THROWS_WITH(vector_norm(x, {.p = 0.5}), ContainsSubstring("vector_norm: p must be at least 1, got 0.5"));
  const Value whole = graph.input("i", i64, {2});
  CHECK_THROWS_WITH(vector_norm(whole), ContainsSubstring("vector_norm needs a floating type, got i64[2]"));
  // Squares of f16 overflow; the norm does not.
  CHECK(evaluate(cast(vector_norm(full(graph, {4}, f16, 1000)), f32)).item() == 2000);
}

TEST_CASE("uniform numbers stay below the end of their interval", "[core][ops]") {
  struct Interval {
    double low, high;
  };
  for (const DType dtype : {f32, f64, bf16, f16})
    for (const Interval& of : {Interval{0, 1}, {1000, 1001}, {-1, 0}, {-1001, -1000}, {0, 1e-7}, {0.1, 0.3}}) {
      if (largest_below(dtype, of.high) < of.low) continue;  // the type has no number in it
      Graph graph;
      const Tensor drawn = evaluate(uniform(graph, {300, 1000}, of.low, of.high, dtype));
      const Spread spread = spread_of(drawn);
      CAPTURE(name_of(dtype), of.low, of.high);
      CHECK(spread.most < of.high);
      Store store(
          training_step(sum(cast(graph.parameter("w", {dtype, {1000, 300}}, init::uniform(of.low, of.high)), f32))));
      CHECK(spread_of(store.tensor("w")).most < of.high);
    }
  Graph graph;
  CHECK(spread_of(evaluate(uniform(graph, {100}, 2, 2))).most == 2);
}

TEST_CASE("the largest number below a limit", "[core][runtime]") {
  CHECK(largest_below(f32, 1) == 1 - 0x1p-24);
  CHECK(largest_below(f64, 1) == 1 - 0x1p-53);
  CHECK(largest_below(bf16, 1) == 1 - 0x1p-8);
  CHECK(largest_below(f16, 1) == 1 - 0x1p-11);
  CHECK(largest_below(f16, -1) == -1 - 0x1p-10);
  CHECK(largest_below(f32, 0) == -0x1p-149);
  CHECK(largest_below(bf16, 1.001) == 1);
  CHECK(largest_below(f32, 3) == 3 - 0x1p-22);
}

TEST_CASE("C++ integers stay integers", "[core][ops]") {
  constexpr std::int64_t odd = (std::int64_t{1} << 53) + 1, most = std::numeric_limits<std::int64_t>::max();
  Graph graph;
  const Value id = graph.input("id", i64, {1});
  const auto with = [&](const Value& y, std::int64_t value) {
    return evaluate(y, {{"id", Tensor::of<std::int64_t>({1}, {value})}});
  };
  CHECK(with(equal(id, odd), odd).at(0) == 1);
  CHECK(with(equal(id, odd), odd - 1).at(0) == 0);
  CHECK(with(id - odd, odd).at(0) == 0);
  CHECK(with(equal(id, most), most).at(0) == 1);
  CHECK(with(where(equal(id, 0), most, id), 0).values<std::int64_t>()[0] == most);
  CHECK(with(full(graph, {1}, i64, most), 0).values<std::int64_t>()[0] == most);
  CHECK(with(full(graph, {1}, i64, std::numeric_limits<std::int64_t>::min()), 0).values<std::int64_t>()[0] ==
        -most - 1);
  full(graph, {1}, i32, odd);
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("i32 cannot hold 9007199254740993; hint: i64"));
}

TEST_CASE("a table without rows is embedded where nothing asks for one", "[core][ops]") {
  Graph graph;
  const Value y = embedding(zeros(graph, {0, 3}), zeros(graph, {0}, i64));
  graph.check();
  CHECK(evaluate(y).extents() == std::vector<std::int64_t>{0, 3});
}

TEST_CASE("starts, steps and counts near the end of i64 do not wrap", "[core][ops]") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Graph graph;
  const Value cache = zeros(graph, {1, 4, 2}), x = ones(graph, {1, 2, 2}), start = graph.input("start", i64, {1});
  const Value appended = cache_append(cache, x, start);
  for (const std::int64_t at : {most, most - 1, std::int64_t{3}})
    CHECK_THROWS_WITH(evaluate(appended, {{"start", Tensor::of<std::int64_t>({1}, {at})}}),
                      ContainsSubstring("the cache is full: example 0 holds "));
  const Value five = iota(graph, 5);
  CHECK(doubles(evaluate(slice(five, {.start = 1, .step = most}))) == std::vector<double>{1});
  CHECK(doubles(evaluate(slice(five, {.start = 0, .step = 2}))) == std::vector<double>{0, 2, 4});
  CHECK(evaluate(slice(five, {.start = 5, .step = most})).size() == 0);
}

TEST_CASE("one large, finite gradient does not freeze a weight", "[core][optim]") {
  for (const Optimizer& optimizer :
       {adam({.rate = 0.1}), adamw({.rate = 0.1}), lamb({.rate = 0.1}), rmsprop({.rate = 0.1})}) {
    Graph graph;
    const Value w = graph.parameter("w", {f32, {1}}, init::ones()), k = graph.input("k", f32, {1});
    const Step step = training_step(sum(w * k)) | optimize(optimizer);
    Store store(step);
    Program program(step, store);
    const auto run = [&](float gradient) { program.run({{"k", Tensor::of<float>({1}, {gradient})}}); };
    run(2e19F);
    for (const auto& [path, cell] : store.cells()) {
      INFO(path);
      CHECK(is_finite(cell.tensor));
    }
    const double before = store.tensor("w").at(0);
    for (int i = 0; i < 100; ++i) run(-1e19F);
    CHECK(store.tensor("w").at(0) != before);
  }
}

TEST_CASE("norms of numbers whose squares overflow are right", "[core][ops]") {
  for (const double size : {1e20, 1e25, 1e30}) {
    Graph graph;
    const Value p = graph.parameter("p", {f32, {4}}, init::zeros());
    const Value x = p + numbers(graph, {size, -2 * size, 3 * size, 2 * size}, f32);
    const std::vector<double> rms = doubles(evaluate(rms_norm(x))), layer = doubles(evaluate(layer_norm(x)));
    CAPTURE(size);
    CHECK(rms[2] == Approx(3 / std::sqrt(4.5)).epsilon(1e-6));
    CHECK(layer[2] == Approx(2 / std::sqrt(3.5)).epsilon(1e-6));
    // Nothing flows along x itself (or an offset): <d, x> = 0; and the size divides it.
    const std::vector<double> d = derivative(sum(rms_norm(x) * numbers(graph, {1, 0, 0, 0}, f32)), p);
    CHECK(d[0] * size == Approx((1 - 1 / 18.0) / std::sqrt(4.5)).epsilon(1e-5));
    CHECK(d[2] * size == Approx(-3 / 18.0 / std::sqrt(4.5)).epsilon(1e-5));
  }
  Graph graph;
  const std::vector<double> y = doubles(evaluate(rms_norm(numbers(graph, {infinity, 1}, f32))));
  CHECK(std::isnan(y[0]));
}

// f32 keeps no digit of log 2 beside 1e8: the gradient comes from the maximum and the sum, not from their one number.
TEST_CASE("gradients of a softmax do not depend on a common offset of its scores", "[core][ops]") {
  for (const DType dtype : {f32, f64})
    for (const double offset : {0.0, 1e4, 1e6, 1e8, -1e9, 1e30}) {
      CAPTURE(name_of(dtype), offset);
      Graph graph;
      const Value x = graph.parameter("x", {dtype, {1, 2}}, init::constant(offset));
      const Value target = full(graph, {1}, i64, 0);
      CHECK(derivative(cross_entropy(x, target).terms[0].sum, x) == std::vector<double>{-0.5, 0.5});
      CHECK(derivative(sum(logsumexp(x)), x) == std::vector<double>{0.5, 0.5});
      CHECK(derivative(cross_entropy_terms(x, target).logsumexp, x) == std::vector<double>{0.5, 0.5});
      for (const AttentionMethod method : {AttentionMethod::block_wise, AttentionMethod::plain}) {
        const Value q = zeros(graph, {1, 1, 1, 1}, dtype), k = zeros(graph, {1, 4, 1, 1}, dtype);
        const Value v =
            graph.parameter(fmt::format("v{}", static_cast<int>(method)), {dtype, {1, 4, 1, 1}}, init::ones());
        const Value y = attention(q, k, v, {.bias = full(graph, {1, 4}, dtype, offset), .method = method});
        CHECK(evaluate(cast(y, f64)).at(0) == 1);
        for (const double d : derivative(sum(y), v)) CHECK(d == Approx(0.25).epsilon(1e-6));
      }
    }
}

TEST_CASE("what does not count has gradient 0, also beside logits of -inf", "[core][ops]") {
  Graph graph;
  const Value w = graph.parameter("w", {f64, {3}}, init::ones()),
              p = graph.parameter("p", {f64, {2, 3}}, init::zeros());
  const Value x = p + reshape(numbers(graph, {-infinity, 1, 2, -infinity, -infinity, -infinity}), {2, 3});
  const Tensor targets = Tensor::of<std::int64_t>({2}, {1, -100});
  const Value t = graph.input("t", i64, {2});
  const auto with = [&](const Value& y) { return doubles(evaluate(y, {{"t", targets}})); };
  const Value loss = cross_entropy(x, t, {.class_weights = w}).terms[0].sum;
  const Value first = gradient(loss, {p}).front();
  CHECK(with(gradient(loss, {w}).front())[0] == 0);
  CHECK(with(loss)[0] == Approx(std::log(1 + std::exp(1.0))));
  const std::vector<double> d = with(first), second = with(gradient(sum(square(first)), {p}).front());
  CHECK(d[0] == 0);
  for (std::size_t i = 3; i < 6; ++i) {
    CHECK(d[i] == 0);
    CHECK(second[i] == 0);
  }
  CHECK(std::isfinite(second[1]));
  CHECK(second[0] == 0);
}

TEST_CASE("a step is judged by its gradients: a loss beyond the largest float changes nothing", "[core][optim]") {
  Tensor logits(f32, {8, 3});
  const Tensor targets(i64, {8});
  for (std::int64_t i = 0; i < 24; ++i) logits.data<float>()[i] = i % 3 == 1 ? 1e38F : 0;
  for (const std::int64_t parts : {1, 2, 4})
    for (const bool scaled : {false, true}) {
      CAPTURE(parts, scaled);
      Graph graph;
      const Dim batch = graph.dim("batch", 8);
      const Value x = graph.input("x", f32, {batch, 3}), t = graph.input("t", i64, {batch});
      const Value w = graph.parameter("w", {f32, {3}}, init::zeros());
      Step step = training_step(cross_entropy(x + w, t));
      if (parts > 1) step = step | accumulate(parts);
      if (scaled) step = step | scale_loss(dynamic_scale({.start = 64}));
      step = step | optimize(sgd({.rate = 0.5}));
      Store store(step);
      Program program(step, store);
      const Result result = program.run({{"x", logits}, {"t", targets}});
      CHECK(result.scalar("loss") == infinity);
      CHECK(result.scalar("finite") == 1);
      CHECK(doubles(store.tensor("w")) == std::vector<double>{0.5, -0.5, 0});
    }
}

// torch.amp.GradScaler: the gradients are finite, so the scale stays; the step is skipped for its weight.
TEST_CASE("batches without tokens leave the loss scale as it is", "[core][optim]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {1, 3}}, init::ones());
  const Value targets = graph.input("targets", i64, {1});
  const Step step = training_step(cross_entropy(w, targets)) | scale_loss(dynamic_scale({.start = 1024, .window = 4})) |
                    optimize(sgd({.rate = 0.1}));
  Store store(step);
  Program program(step, store);
  const auto run = [&](std::int64_t target) {
    return program.run({{"targets", Tensor::of<std::int64_t>({1}, {target})}}).scalar("finite");
  };
  for (int i = 0; i < 12; ++i) CHECK(run(-100) == 0);
  CHECK(store.tensor("loss_scale").item() == 1024);
  CHECK(store.tensor("loss_scale/tracker").item() == 0);
  for (int i = 0; i < 3; ++i) CHECK(run(1) == 1);
  run(-100);
  CHECK(store.tensor("loss_scale/tracker").item() == 3);
  run(1);
  CHECK(store.tensor("loss_scale").item() == 2048);
  CHECK_THAT(step, EquivalentTo(training_step(cross_entropy(w, targets)) | optimize(sgd({.rate = 0.1})),
                                {.integers = {{"targets", 3}}}));
}
