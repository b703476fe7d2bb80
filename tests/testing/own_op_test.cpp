// Ops of a user's own, each in one definition: raw loops, a function of numbers, xtensor expressions; with a backward,
// with a plain definition alone, with neither; wrong ones, which their checks find.
#include <weft/testing/matchers.h>

#include <support/catch.h>

#include <weft/ops/kit/pointwise_kernels.h>
#include <weft/ops/kit/xtensor_kernel.h>
#include <weft/runtime/region/region.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>

using namespace weft;

namespace {

// --- raw loops, with a backward: y = x / (1 + |x|); d_x = d_y / (1 + |x|)^2 ---

template <class T>
void softsign_kernel(KernelContext& k) {
  const T* x = k.in<T>(0);
  T* y = k.out<T>(0);
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) y[i] = x[i] / (1 + std::abs(x[i]));
}

const OpDef& softsign_op() {
  static const OpDef op{
      .name = "own_softsign",
      .law = "y = x / (1 + |x|)",
      .infer = same_as_float_input,
      .batch = same_axis,
      .backward = [](Backward& b) { b.input(0, b.cotangent(0) / square(1.0 + abs(b.in(0)))); },
      .plain = [](const Plain& p) -> Values { return p.in[0] / (1.0 + abs(p.in[0])); },
      .traits = {.pointwise = true, .in_place = {{0, 0}}},
      .kernels = {{.dtype = f32, .run = softsign_kernel<float>}, {.dtype = f64, .run = softsign_kernel<double>}},
      .samples = {{{sample::uniform({3, 5}, 0.1, 4).batched(0)}}, {{sample::uniform({2, 9}, -4, -0.1).batched(1)}}},
      .bad_samples = {{.inputs = {{i64, {3}}}, .message = "floating type"}}};
  return op;
}
Value softsign(const Arg& x) { return build(softsign_op(), {x}); }

// --- a function of three numbers that broadcast, without a backward: y = a b + c is differentiated through its plain
// form ---

const OpDef& fma_op() {
  static const OpDef op{
      .name = "own_fma",
      .law = "y = a b + c",
      .least_inputs = 3,
      .most_inputs = 3,
      .infer = broadcast_operands,
      .batch = same_axis,
      .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[1] + p.in[2]; },
      .traits = {.pointwise = true},
      .kernels = pointwise_kernels<float, double, bfloat16, float16>([](auto a, auto b, auto c) { return a * b + c; }),
      .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({3, 5}).batched(0),
                    sample::normal({3, 5}).batched(0)}},
                  {{sample::normal({4, 1, 700}).batched(0), sample::normal({6, 1}), sample::normal({700})}}},
      .bad_samples = {{.inputs = {{f32, {3}}, {f32, {4}}, {f32, {3}}}, .message = "broadcast"}}};
  return op;
}
Value fma(const Arg& a, const Arg& b, const Arg& c) { return build(fma_op(), {a, b, c}); }

// --- a function that reads an attribute ---

const OpDef& leak_op() {
  static const OpDef op{
      .name = "own_leak",
      .law = "y = x > 0 ? x : slope x",
      .infer = same_as_float_input,
      .batch = same_axis,
      .plain = [](const Plain& p) -> Values {
        return where(greater(p.in[0], 0.0), p.in[0], p.in[0] * p.attributes.number("slope"));
      },
      .traits = {.pointwise = true},
      .kernels = pointwise_kernels_from<float, double>([](const Attributes& attributes) {
        return [slope = attributes.number("slope")](auto x) { return x > 0 ? x : static_cast<decltype(x)>(slope) * x; };
      }),
      .samples = {{{sample::uniform({3, 5}, 0.1, 3).batched(0)}, {{"slope", 0.25}}},
                  {{sample::uniform({3, 5}, -3, -0.1).batched(0)}, {{"slope", 0.25}}}},
      .bad_samples = {{.inputs = {{i64, {3}}}, .attributes = {{"slope", 0.25}}, .message = "floating type"}}};
  return op;
}
Value leak(const Arg& x, double slope) { return build(leak_op(), {x}, {{"slope", slope}}); }

// --- a comparison ---

const OpDef& near_op() {
  static const OpDef op{
      .name = "own_near",
      .law = "y = |a - b| < 1/2",
      .least_inputs = 2,
      .most_inputs = 2,
      .infer = broadcast_to_bool,
      .batch = same_axis,
      .plain = [](const Plain& p) -> Values { return less(abs(p.in[0] - p.in[1]), 0.5); },
      .traits = {.pointwise = true},
      .kernels = pointwise_kernels<float, double>([](auto a, auto b) { return std::abs(a - b) < decltype(a)(0.5); }),
      .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({5})}}},
      .bad_samples = {{.inputs = {{f32, {3}}, {f32, {4}}}, .message = "broadcast"}}};
  return op;
}

// --- xtensor expressions with a reduction: y = x / sqrt(mean_j x_j^2 + 1) along the last axis ---

constexpr auto rms_kernel = [](auto k) {
  const auto x = k.in(0);
  const auto squares = k.hold(xt::mean(x * x, {k.last(0)}, xt::keep_dims));
  k.out(0) = x / xt::sqrt(squares + 1);
};

const OpDef& rms_op() {
  static const OpDef op{.name = "own_rms",
                        .law = "y = x / sqrt(mean_j x_j^2 + 1)",
                        .infer = same_as_float_input,
                        .batch = rows_independent<1>,
                        .plain = [](const Plain& p) -> Values {
                          return p.in[0] * rsqrt(mean(square(p.in[0]), {.axes = {-1}, .keep = true}) + 1.0);
                        },
                        .kernels = xtensor_kernels<float, double>(rms_kernel),
                        .samples = {{{sample::normal({3, 5}).batched(0)}}, {{sample::normal({2, 4, 3}).batched(1)}}},
                        .bad_samples = {{.inputs = {{i64, {3}}}, .message = "floating type"}}};
  return op;
}
Value rms(const Arg& x) { return build(rms_op(), {x}); }

// --- wrong ones: not registered ---

OpDef with_wrong_backward() {
  OpDef op = softsign_op();
  op.name = "own_wrong_backward";
  op.backward = [](Backward& b) { b.input(0, b.cotangent(0) / (1.0 + abs(b.in(0)))); };
  return op;
}

const OpDef& bare_op() {
  static const OpDef op = [] {
    OpDef bare = softsign_op();
    bare.name = "own_bare";
    bare.backward = nullptr;
    bare.plain = nullptr;
    return bare;
  }();
  return op;
}

void register_own() {
  register_all();
  for (const OpDef* op : {&softsign_op(), &fma_op(), &leak_op(), &near_op(), &rms_op()}) registry().add(*op);
}

// The lines of a check that failed.
std::vector<std::string> failed(const OpCheck& check) {
  std::vector<std::string> names;
  for (const OpCheck::Line& line : check.lines)
    if (!line.passed) names.push_back(line.check);
  return names;
}

}  // namespace

TEST_CASE("ops of one's own pass the checks of the library's ops, by name", "[testing][own]") {
  register_own();
  CHECK_THAT("own_softsign", PassesOpChecks());
  CHECK_THAT("own_fma", PassesOpChecks());
  CHECK_THAT("own_leak", PassesOpChecks());
  CHECK_THAT("own_near", PassesOpChecks());
  CHECK_THAT("own_rms", PassesOpChecks());
  const OpCheck check = weft::testing::check_op("own_fma");
  CHECK(check.passed());
  CHECK(check.op == "own_fma");
  CHECK(check.variants > 0);
  for (const char* line : {"forward f32", "forward bf16", "gradient", "second order", "batch", "threads"})
    CHECK(std::ranges::any_of(check.lines, [&](const OpCheck::Line& l) { return l.check == line; }));
}

TEST_CASE("an op that is not registered is answered with near names", "[core][testing][own][errors]") {
  register_own();
  CHECK_THROWS_WITH(weft::testing::check_op("own_softsing"),
                    ContainsSubstring("no op is named 'own_softsing'; hint: the nearest are own_softsign") &&
                        ContainsSubstring("registry().add("));
  CHECK_THROWS_WITH(PassesOpChecks().match("laier_norm"), ContainsSubstring("layer_norm"));
}

TEST_CASE("check_op finds a wrong backward, by differences and against the plain definition", "[core][testing][own]") {
  const OpDef op = with_wrong_backward();
  const PassesOpChecks matcher;
  CHECK_FALSE(matcher.match(op));
  CHECK_THAT(matcher.describe(), ContainsSubstring("own_wrong_backward, sample 0, gradient:") &&
                                     ContainsSubstring("differs from central differences") &&
                                     ContainsSubstring("backward f32: the gradient of operand 0 is off by"));
}

TEST_CASE("check_op finds a wrong kernel and a wrong batch rule", "[core][testing][own]") {
  OpDef op = softsign_op();
  op.kernels[0].run = [](KernelContext& k) {
    for (std::int64_t i = 0; i < k.out_type(0).count(); ++i)
      k.out<float>(0)[i] = k.in<float>(0)[i] / (2 + std::abs(k.in<float>(0)[i]));
  };
  CHECK(std::ranges::count(failed(check_op(op)), "forward f32") > 0);
  OpDef mixed = rms_op();
  mixed.batch = same_axis;
  mixed.samples = {{{sample::normal({3, 5}).batched(1)}}};
  CHECK(std::ranges::count(failed(check_op(mixed)), "batch") > 0);
}

TEST_CASE("rules that give too little, or read what there is not, say so", "[core][testing][own][errors]") {
  const auto says = [](const OpDef& op, const std::string& what) {
    INFO(check_op(op).str());
    CHECK_THAT(check_op(op).str(), ContainsSubstring(what));
  };
  OpDef op = rms_op();
  op.backward = nullptr;
  op.plain = [](const Plain&) -> Values { return {}; };
  says(op, "the plain definition of 'own_rms' gives 0 values, the shape rule 1");
  op.plain = [](const Plain& p) -> Values { return sum(p.in[0]); };
  says(op, "the plain definition of 'own_rms' gives f64[] as output 0, the shape rule f64[");
  op.plain = [](const Plain& p) -> Values { return p.in.at(1) * 2.0; };
  says(op, "the plain definition of 'own_rms' reads an operand that the node does not have: it has 1");
  op = softsign_op();
  op.backward = [](Backward& b) { b.input(0, b.in(7) * b.cotangent(0)); };
  says(op,
       "[own_softsign] its backward asks for an operand, an output or a cotangent that the node does not have: it has "
       "1 operands and 1 "
       "outputs");
  op = softsign_op();
  op.plain = [](const Plain& p) -> Values { return p.in[0] * p.attributes.number("slope"); };
  op.backward = nullptr;
  says(op, "there is no attribute 'slope' of the type that is read; hint: {\"slope\", 2.0} sets a number");
  for (Sample& sample : op.samples) sample.attributes.set("slope", std::int64_t{2});
  says(op, "there is no attribute 'slope' of the type that is read");
}

TEST_CASE("a model with ops of one's own has right gradients that flow", "[core][testing][own]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 6), 5});
  const Value w = graph.parameter("w", {f32, {5, 4}}, init::normal(0, 1));
  const Value scale = graph.parameter("scale", {f32, {4}}, init::constant(1.5));
  const Value shift = graph.parameter("shift", {f32, {4}}, init::normal(0, 1));
  const Value y = rms(leak(fma(softsign(matmul(x, w)), scale, shift), 0.1));
  const Step step = training_step(weighted_mean(square(y)));
  CHECK_THAT(step, GradientsMatch());
  CHECK_THAT(step, GradientsFlow());
  CHECK_THAT(step | mixed_precision(bf16) | accumulate(2) | optimize(adamw({.rate = 1e-2})),
             EquivalentTo(step | optimize(adamw({.rate = 1e-2}))));
}

TEST_CASE("a chain with pointwise ops of one's own is one node when it runs, with the same bits",
          "[core][testing][own]") {
  Graph graph;
  const Value x = graph.input("x", f32, {64, 96});
  const Value y = tanh(fma(softsign(x), leak(x, 0.1), x));
  const Step step = fetching({y});
  const Plan one = plan(step), many = plan(step, {.lowering = {.disabled = {"row_regions"}}});
  INFO(one.str());
  REQUIRE(one.schedule.size() == 1);
  CHECK(many.schedule.size() == 4);
  const RowRegion& region = row_region_of(one.step.graph.node(one.schedule.front()).attributes);
  std::vector<std::string> members;
  for (const RowRegion::Member& member : region.members) members.push_back(member.op->name);
  for (const char* name : {"own_softsign", "own_fma", "own_leak"}) CHECK(std::ranges::count(members, name) == 1);

  Store store(step);
  Program first(one, store), second(many, store);
  const NamedTensors feeds = random_feeds(graph, 0);
  CHECK_THAT(first.run(feeds_of(feeds)).tensor(y), SameBits(second.run(feeds_of(feeds)).tensor(y).clone()));
}

TEST_CASE("an op with neither backward nor plain definition runs, and says what to write when differentiated",
          "[core][testing][own][errors]") {
  Graph graph;
  const Value x = graph.parameter("x", {f32, {4}}, init::normal(0, 1));
  Value y;
  {
    const auto scope = graph.scope("block");
    y = build(bare_op(), {x});
  }
  CHECK_THAT(evaluate(y), AllFinite());
  CHECK_THROWS_WITH(
      training_step(sum(y)),
      ContainsSubstring("block/own_bare (own_op_test.cpp:") &&
          ContainsSubstring("[own_bare] this op has no backward") &&
          ContainsSubstring(".backward = [](Backward& b) { b.input(0, 2 * b.in(0) * b.cotangent(0)); }") &&
          ContainsSubstring(".plain = [](const Plain& p) -> Values {") && ContainsSubstring("stop_gradient(x)"));
  CHECK(std::ranges::count(failed(check_op(bare_op())), "gradient") == 2);
}

TEST_CASE("registering says what a definition lacks, and how to write it", "[core][testing][own][errors]") {
  register_own();
  OpDef other = softsign_op();
  other.law = "y = x";
  CHECK_THROWS_WITH(
      registry().add(other),
      ContainsSubstring(
          "an op named 'own_softsign' is registered already (y = x / (1 + |x|)); hint: give yours a name"));
  CHECK_NOTHROW(registry().add(softsign_op()));

  Registry ops;
  OpDef op = softsign_op();
  op.samples.clear();
  CHECK_THROWS_WITH(ops.add(op),
                    ContainsSubstring("(.samples): they are its tests; hint: .samples = {{{sample::normal({3, 5})"));
  op = softsign_op();
  op.samples.push_back({{sample::normal({2}), sample::normal({2})}});
  CHECK_THROWS_WITH(
      ops.add(op),
      ContainsSubstring("sample 2 of the op 'own_softsign' has 2 inputs, the op takes 1 (.least_inputs) to 1"));
  op = softsign_op();
  op.kernels.clear();
  CHECK_THROWS_WITH(
      ops.add(op),
      ContainsSubstring("needs a kernel (.kernels); hint: .kernels = {{.dtype = f32, .run = my_kernel<float>}}"));
  op.kernels = {{.dtype = f32}};
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("has a kernel for f32 with nothing to run: it needs .run or .bind"));
  op.kernels = {{.dtype = f32, .run = softsign_kernel<float>}, {.dtype = f32, .run = softsign_kernel<float>}};
  CHECK_THROWS_WITH(ops.add(op), ContainsSubstring("has two kernels for f32"));
}

TEST_CASE("a dtype without a kernel is an error of the plan, with the place and the kernels there are",
          "[core][testing][own][errors]") {
  Graph graph;
  const Value y = softsign(graph.input("x", bf16, {4}));
  CHECK_THROWS_WITH(
      plan(fetching({y})),
      ContainsSubstring("own_softsign (own_op_test.cpp:") &&
          ContainsSubstring("[own_softsign] has no kernel for bf16; it has: f32, f64; hint: cast(x, f32)"));
}

TEST_CASE("kernels that do not fit their op say so", "[core][testing][own][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {3, 4});
  OpDef sums = rms_op();
  sums.kernels = xtensor_kernels<float>([](auto k) { k.out(0) = k.hold(xt::sum(k.in(0), {k.last(0)})); });
  const Tensor fed(f32, {3, 4});
  CHECK_THROWS_WITH(evaluate(build(sums, {x}), {{"x", fed}}),
                    ContainsSubstring("[own_rms] the kernel's expression has extents [3], its output is f32[3, 4]"));
  OpDef reads = rms_op();
  reads.kernels = xtensor_kernels<float>([](auto k) { k.out(0) = k.template in<double>(0); });
  CHECK_THROWS_WITH(evaluate(build(reads, {x}), {{"x", fed}}),
                    ContainsSubstring("the kernel reads operand 0 as f64, it is f32[3, 4]"));
  OpDef binary = softsign_op();
  binary.kernels = pointwise_kernels<float>([](auto a, auto b) { return a + b; });
  CHECK_THROWS_WITH(evaluate(build(binary, {x}), {{"x", fed}}),
                    ContainsSubstring("the kernel's function takes 2 numbers, the node has 1 operands"));
  OpDef compares = softsign_op();
  compares.kernels = pointwise_kernels<float>([](auto a) { return a > 0; });
  CHECK_THROWS_WITH(evaluate(build(compares, {x}), {{"x", fed}}),
                    ContainsSubstring("the kernel's function gives bool, the shape rule says f32[3, 4]"));
}
