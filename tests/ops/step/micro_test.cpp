// What the ops between micro-batches and the step do when there are several, on steps put together by hand. That they
// are right with one is among the generated checks.
#include <support/catch.h>

#include <weft/weft.h>

#include <algorithm>

using namespace weft;

namespace {

Tensor ramp(DType type, Tensor::Extents extents) {
  Tensor tensor(f64, std::move(extents));
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data<double>()[i] = static_cast<double>(i);
  return tensor.cast(type);
}

// A step of `count` micro-batches that fetches what `make` builds of a fed x.
struct Micro {
  Graph graph;
  Value x;
  Step step;

  Micro(DType type, Shape shape, std::int64_t count, const std::function<Value(const Value&)>& make) {
    x = graph.input("x", type, std::move(shape));
    const Value y = make(x);
    step = fetching({y});
    step.fetches = {{"y", y}};
    step.micro_batches = count;
  }
  Tensor run(const Tensor& fed) const {
    Store store(graph);
    Program program(step, store);
    check_plan(program.plan());
    return program.run({{"x", fed}}).tensor("y").clone();
  }
};

Value in_step(const Value& x, const std::function<Value(const Value&)>& make) {
  Graph graph = x.graph();
  const auto phase = graph.phase(Phase::step);
  return make(x);
}

}  // namespace

TEST_CASE("slices of the micro-batches, stacked again, are the whole, wherever the batch lies", "[core][ops]") {
  const auto place = GENERATE(BatchState::split_at(0), BatchState::split_at(1), BatchState::split_at(2),
                              BatchState::split_at(1, 2), BatchState::split_at(1, 1, 2), BatchState::split_at(2, 3, 2));
  const DType type = GENERATE(f32, bf16, i64, boolean);
  const Tensor x = ramp(type, {6, 24, 36});
  for (const std::int64_t count : {2, 3, 6}) {
    const Micro micro(type, {6, 24, 36}, count, [&](const Value& whole) {
      const Value part = micro_slice(whole, place, count);
      CHECK(part.shape().extent(place.axis) * count == whole.shape().extent(place.axis));
      return in_step(part, [&](const Value& v) { return micro_stack(v, place, count); });
    });
    CHECK(same_bits(micro.run(x), x));
  }
}

TEST_CASE("each micro-batch sees its own examples", "[core][ops]") {
  // [outer 2][batch 3][inner 2] at axis 0: the sum of all slices is over the batch.
  const BatchState place = BatchState::split_at(0, 2, 2);
  const Micro micro(f64, {12}, 3, [&](const Value& x) {
    return in_step(micro_slice(x, place, 3), [](const Value& v) { return accumulate_sum(v); });
  });
  const Tensor y = micro.run(ramp(f64, {12}));
  REQUIRE(y.extents() == Tensor::Extents{4});
  for (std::int64_t outer = 0; outer < 2; ++outer)
    for (std::int64_t inner = 0; inner < 2; ++inner) {
      double want = 0;
      for (std::int64_t i = 0; i < 3; ++i) want += static_cast<double>((outer * 3 + i) * 2 + inner);
      CHECK(y.at(outer * 2 + inner) == want);
    }
}

TEST_CASE("sums are added in the order of the micro-batches, in f32 of narrow types and exactly of integers",
          "[core][ops]") {
  SECTION("the order decides the bits") {
    const Micro micro(f32, {3}, 3, [](const Value& x) {
      return in_step(micro_slice(x, BatchState::split_at(0), 3), [](const Value& v) { return accumulate_sum(v); });
    });
    CHECK(micro.run(Tensor::of<float>({3}, {1e8F, -1e8F, 1})).at(0) == 1);
    CHECK(micro.run(Tensor::of<float>({3}, {1, 1e8F, -1e8F})).at(0) == 0);
  }
  SECTION("bf16 would stop at 256") {
    const Micro micro(bf16, {512}, 512, [](const Value& x) {
      return in_step(micro_slice(x, BatchState::split_at(0), 512), [](const Value& v) { return accumulate_sum(v); });
    });
    Tensor ones(f32, {512});
    std::fill_n(ones.data<float>(), 512, 1.0F);
    const Tensor y = micro.run(ones.cast(bf16));
    CHECK(y.dtype() == f32);
    CHECK(y.at(0) == 512);
  }
  SECTION("i64 beyond what a double holds") {
    const Micro micro(i64, {2}, 2, [](const Value& x) {
      return in_step(micro_slice(x, BatchState::split_at(0), 2), [](const Value& v) { return accumulate_sum(v); });
    });
    CHECK(micro.run(Tensor::of<std::int64_t>({2}, {(std::int64_t{1} << 60) + 1, 2})).data<std::int64_t>()[0] ==
          (std::int64_t{1} << 60) + 3);
  }
}

TEST_CASE("the name of the batch follows into slices and stacks", "[core][ops]") {
  Graph graph;
  const Dim batch = graph.dim("batch", 12);
  const Value x = graph.input("x", f32, {batch * 5, 2});
  const Value part = micro_slice(x, BatchState::split_at(0, 1, 5), 4);
  CHECK(part.type().str() == "f32[batch*5=15, 2]");
  CHECK(micro_stack(part, BatchState::split_at(0, 1, 5), 4).type().str() == "f32[batch*5=60, 2]");
}

TEST_CASE("a sum over runs begins anew when it is told to, whatever was there", "[core][ops]") {
  Graph graph;
  const Value total = graph.input("total", f32, {2}), x = graph.input("x", bf16, {2}),
              first = graph.input("first", boolean, {});
  const Value y = accumulate_onto(total, x, first);
  const Tensor before = Tensor::of<float>({2}, {std::numeric_limits<float>::quiet_NaN(), 3}),
               add = Tensor::of<float>({2}, {1, 2}).cast(bf16);
  const Tensor anew = Tensor::scalar(true), further = Tensor::scalar(false);
  const Tensor a = evaluate(y, {{"total", before}, {"x", add}, {"first", anew}});
  CHECK(a.at(0) == 1);
  CHECK(a.at(1) == 2);
  CHECK(evaluate(y, {{"total", before}, {"x", add}, {"first", further}}).at(1) == 5);
}
