// Ops of a user's own with one fault each, that their checks must find and name, beside the sound ones of
// own_op_test.cpp.
#include <weft/testing/check_op.h>

#include <support/catch.h>

#include <weft/ops/kit/pointwise_kernels.h>
#include <weft/ops/kit/rules.h>
#include <weft/ops/kit/terms.h>
#include <weft/runtime/kernel.h>
#include <weft/runtime/random.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

using namespace weft;

namespace {

template <class T>
void copy_kernel(KernelContext& k) {
  std::copy_n(k.in<T>(0), k.out_type(0).count(), k.out<T>(0));
}
// How many elements behind its output the kernel writes, or before it.
template <class T, int Behind>
void stray_kernel(KernelContext& k) {
  copy_kernel<T>(k);
  const std::int64_t n = k.out_type(0).count();
  for (int i = 0; i < Behind; ++i) k.out<T>(0)[n + i] = 7;
  for (int i = Behind; i < 0; ++i) k.out<T>(0)[i] = 7;
}
template <class T, int Megabytes>  // that far behind; not mapped, or another's
void far_kernel(KernelContext& k) {
  copy_kernel<T>(k);
  const volatile std::ptrdiff_t at = (std::ptrdiff_t{Megabytes} << 20) / static_cast<std::ptrdiff_t>(sizeof(T));
  k.out<T>(0)[at] = 7;
}
template <class T>
void into_operand_kernel(KernelContext& k) {
  copy_kernel<T>(k);
  const_cast<T*>(k.in<T>(0))[0] += 1;
}
template <class T>
void past_operand_kernel(KernelContext& k) {
  copy_kernel<T>(k);
  k.out<T>(0)[0] += k.in<T>(0)[k.out_type(0).count()];
}
template <class T>
void running_sum_kernel(KernelContext& k) {  // over all rows
  T sum = 0;
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) k.out<T>(0)[i] = sum += k.in<T>(0)[i];
}
template <class T, bool Offset>
void noise_kernel(KernelContext& k) {
  const std::int64_t n = k.out_type(0).shape.extent(-1), rows = k.out_type(0).count() / n;
  const RandomKey key = random_key(k.random().seed, 5);
  std::vector<double> drawn(static_cast<std::size_t>(n));
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t at = row + (Offset ? k.random().row_offset : 0);
    uniform_fill(drawn.data(), n, static_cast<std::uint32_t>(at), key, k.random().runs);
    for (std::int64_t i = 0; i < n; ++i)
      k.out<T>(0)[row * n + i] = k.in<T>(0)[row * n + i] + static_cast<T>(drawn[static_cast<std::size_t>(i)]);
  }
}

template <class T>
void product_kernel(KernelContext& k) {
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) k.out<T>(0)[i] = k.in<T>(0)[i] * k.in<T>(1)[i];
}
template <class T>
void copy_positive_kernel(KernelContext& k) {
  for (std::int64_t i = 0; i < k.out_type(0).count(); ++i) WEFT_CHECK(k.in<T>(0)[i] > 0, "only what is positive");
  copy_kernel<T>(k);
}
template <class T>
void logsumexp_kernel(KernelContext& k) {
  const std::int64_t n = k.type(0).shape.extent(-1);
  for (std::int64_t row = 0; row < k.type(0).count() / n; ++row) {
    const T* x = k.in<T>(0) + row * n;
    const T top = *std::max_element(x, x + n);
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i] - top));
    k.out<T>(0)[row] = static_cast<T>(static_cast<double>(top) + std::log(sum));
  }
}
template <bool Below>
void draw_kernel(KernelContext& k) {  // twelve binary places, rounded up or down
  const RandomKey key = random_key(k.random().seed, 1);
  std::vector<double> drawn(static_cast<std::size_t>(k.out_type(0).count()));
  uniform_fill(drawn.data(), k.out_type(0).count(), 0, key, k.random().runs);
  for (std::size_t i = 0; i < drawn.size(); ++i)
    k.out<float>(0)[i] = static_cast<float>((Below ? std::floor(drawn[i] * 4096) : std::ceil(drawn[i] * 4096)) / 4096);
}

#define OWN_KERNELS(f, ...)                                       \
  {                                                               \
    {.dtype = f32, .run = f<float __VA_OPT__(, ) __VA_ARGS__>}, { \
      .dtype = f64, .run = f<double __VA_OPT__(, ) __VA_ARGS__>   \
    }                                                             \
  }

// y = x, by the kernels given.
OpDef identity(const std::string& name, std::vector<Kernel> kernels) {
  return {.name = name,
          .law = "y = x",
          .infer = same_as_float_input,
          .batch = same_axis,
          .backward = [](Backward& b) { b.input(0, b.cotangent(0)); },
          .plain = [](const Plain& p) -> Values { return p.in[0] * 1.0; },
          .kernels = std::move(kernels),
          .samples = {{{sample::normal({3, 5}).batched(0)}}}};
}

std::string faults(const OpDef& op) {
  const OpCheck check = weft::check_op(op);
  CHECK_FALSE(check.passed());
  return check.str();
}

}  // namespace

TEST_CASE("a kernel that touches what is not its own is found", "[core][testing][own_op]") {
  CHECK(weft::check_op(identity("fault_none", OWN_KERNELS(copy_kernel))).passed());
  CHECK_THAT(faults(identity("fault_behind", OWN_KERNELS(stray_kernel, 4))),
             ContainsSubstring("memory: the kernel writes 16 bytes behind output 'y', which has 60; hint: it may touch "
                               "operands, outputs and the workspace"));
  CHECK_THAT(faults(identity("fault_before", OWN_KERNELS(stray_kernel, -2))),
             ContainsSubstring("the kernel writes 8 bytes before output 'y'"));
  CHECK_THAT(faults(identity("fault_far_behind", OWN_KERNELS(stray_kernel, 5000))),
             ContainsSubstring("the kernel writes 20000 bytes behind output 'y'"));
  CHECK_THAT(faults(identity("fault_far", OWN_KERNELS(far_kernel, 1 << 20))),
             ContainsSubstring("memory: the kernel ends the process (") &&
                 ContainsSubstring("): it reads or writes far outside of its buffers; hint: it may touch operands"));
  CHECK_THAT(faults(identity("fault_operand", OWN_KERNELS(into_operand_kernel))),
             ContainsSubstring("the kernel writes into operand 0"));
  CHECK_THAT(faults(identity("fault_past", OWN_KERNELS(past_operand_kernel))),
             ContainsSubstring("output 'y' depends on what lies in memory around the operands"));
}

TEST_CASE("a promise of rows that does not hold is found", "[core][testing][own_op]") {
  OpDef op = identity("fault_rows", OWN_KERNELS(running_sum_kernel));
  op.law = "y = running sum of x";
  op.plain = [](const Plain& p) -> Values {
    return reshape(cumsum(reshape(p.in[0], {p.in[0].shape().count()}), 0), p.in[0].shape());
  };
  op.backward = nullptr;
  op.batch = [](const OpView&, std::span<const BatchState> in) -> std::vector<BatchState> {
    return {in[0].as_mixed()};
  };
  CHECK(weft::check_op(op).passed());
  op.row_wise = [](const OpView&) { return true; };
  CHECK_THAT(faults(op), ContainsSubstring("rows: row 1 alone gives other bits in output 'y' than in the whole: "
                                           ".row_wise promises that rows do not meet"));
  op.row_wise = nullptr;
  op.traits.pointwise = true;
  CHECK_THAT(faults(op), ContainsSubstring(".traits.pointwise promises that rows do not meet"));
}

TEST_CASE("a random op that forgets where its rows lie is found", "[core][testing][own_op]") {
  const auto noise = [](const std::string& name, std::vector<Kernel> kernels) {
    OpDef op = identity(name, std::move(kernels));
    op.plain = nullptr;
    op.traits.random = true;
    return op;
  };
  const OpCheck sound = weft::check_op(noise("fault_none_drawn", OWN_KERNELS(noise_kernel, true)));
  INFO(sound.str());
  CHECK(sound.passed());
  CHECK_THAT(faults(noise("fault_drawn", OWN_KERNELS(noise_kernel, false))),
             ContainsSubstring("batch: output 'y' draws other numbers in 3 micro-batches than in one; hint: row r "
                               "draws at row r + context.random().row_offset"));
}

TEST_CASE("an evaluation rule that gives something else is found, and refused in a model",
          "[core][testing][own_op][errors]") {
  OpDef op = identity("fault_evaluation", OWN_KERNELS(copy_kernel));
  CHECK(weft::check_op(op).passed());
  op.evaluation = [](const Plain& p) -> Values { return sum(p.in[0]); };
  CHECK_THAT(faults(op),
             ContainsSubstring(
                 "evaluation: the evaluation rule of 'fault_evaluation' gives f64[] as output 0, the shape rule"));
  op.evaluation = [](const Plain&) -> Values { return {}; };
  CHECK_THAT(faults(op),
             ContainsSubstring("the evaluation rule of 'fault_evaluation' gives 0 values, the shape rule 1"));
  op.evaluation = [](const Plain& p) -> Values { return cast(p.in[0], f16); };
  CHECK_THAT(faults(op), ContainsSubstring("hint: outside training the value has the same type"));
  op.evaluation = [](const Plain&) -> Values { throw std::runtime_error("no such mode"); };
  Graph graph;
  const Value x = graph.input("x", f32, {2, 3});
  const Value y = graph.apply(op, {x}).front();
  CHECK_THROWS_WITH(evaluation(Loss(sum(y))),
                    ContainsSubstring("fault_evaluation (own_op_faults_test.cpp:") &&
                        ContainsSubstring("the evaluation rule of 'fault_evaluation' threw no such mode"));
}

TEST_CASE("an op without a gradient says so in its samples", "[core][testing][own_op]") {
  OpDef op = identity("fault_no_gradient", OWN_KERNELS(copy_kernel));
  op.backward = nullptr;
  op.plain = nullptr;
  CHECK_THAT(faults(op), ContainsSubstring("this op has no backward"));
  op.samples.front().gradient = false;
  const OpCheck check = weft::check_op(op);
  INFO(check.str());
  CHECK(check.passed());
}

TEST_CASE("a batch rule that no sample checks, a sum of another shape and a rule that is made of itself are found",
          "[core][testing][own_op]") {
  OpDef op = identity("fault_unbatched", OWN_KERNELS(copy_kernel));
  op.samples = {{{sample::normal({3, 5})}}};
  CHECK_THAT(faults(op),
             ContainsSubstring("batch: the batch rule says '") &&
                 ContainsSubstring("no sample has a batch to check that; hint: sample::normal({3, 5}).batched(0)"));
  op.samples = {{{sample::normal({3, 5}).batched(0)}}};
  op.batch = [](const OpView&, std::span<const BatchState>) -> std::vector<BatchState> {
    return {BatchState::summed()};
  };
  CHECK_THAT(faults(op),
             ContainsSubstring(
                 "output 'y' is said to be a sum over the batch; it is f64[1, 5] of one example and f64[3, 5] of all"));
  static OpDef itself = identity("fault_itself", OWN_KERNELS(copy_kernel));
  itself.backward = nullptr;
  itself.plain = [](const Plain& p) -> Values { return p.in[0].graph().apply(itself, {p.in[0]}); };
  CHECK_THAT(faults(itself), ContainsSubstring("the plain definition of 'fault_itself' is made of 'fault_itself' "
                                               "itself, which says nothing of what it is; hint: other ops"));
}

TEST_CASE("what a user's rule throws, or asks for in vain, is a problem of the node",
          "[core][testing][own_op][errors]") {
  const auto problem = [](OpDef op) {
    Graph graph;
    const auto scope = graph.scope("block");
    graph.apply(op, {graph.input("x", f32, {3, 5})});
    REQUIRE(graph.problems().size() == 1);
    const std::string text = graph.problems().front().str();
    CHECK_THAT(text, ContainsSubstring("block/" + op.name + " (own_op_faults_test.cpp:"));
    CHECK_THAT(faults(op), ContainsSubstring("(own_op_faults_test.cpp:"));  // not a line of the library
    return text;
  };
  OpDef op = identity("fault_rule", OWN_KERNELS(copy_kernel));
  op.infer = [](const OpView&) -> std::vector<TensorType> { return {{f32, {std::vector<std::int64_t>{1}.at(3)}}}; };
  CHECK_THAT(problem(op), ContainsSubstring("[fault_rule] its shape rule threw vector::_M_range_check"));
  op.infer = [](const OpView& view) -> std::vector<TensorType> { return {{f32, {view.shape(0)[5]}}}; };
  CHECK_THAT(problem(op), ContainsSubstring("there is no axis 5 in [") && ContainsSubstring("which has 2"));
  op.infer = [](const OpView& view) -> std::vector<TensorType> { return {view.type(1)}; };
  CHECK_THAT(problem(op),
             ContainsSubstring(
                 "a rule of 'fault_rule' asks for operand 1: the node has 1, counted from 0; hint: has(1) tells"));
  op.infer = [](const OpView& view) -> std::vector<TensorType> { return {view.out_type(0)}; };
  CHECK_THAT(problem(op),
             ContainsSubstring("asks for the type of output 0: outputs have none while the shape rule runs"));
  op.infer = [](const OpView&) -> std::vector<TensorType> { return {}; };
  CHECK_THAT(
      problem(op),
      ContainsSubstring("its shape rule gives 0 types, its outputs are 1; hint: .outputs names what the rule gives"));
  op.infer = [](const OpView&) -> std::vector<TensorType> { throw 3; };
  CHECK_THAT(problem(op), ContainsSubstring("its shape rule threw something that is no std::exception"));

  OpDef back = identity("fault_backward", OWN_KERNELS(copy_kernel));
  Graph graph;
  const Value x = graph.parameter("x", {f32, {3, 5}}, init::ones());
  const auto gradient_problem = [&](BackwardRule rule) {
    back.backward = std::move(rule);
    const Graph copy = graph.clone();
    const Value y = sum(copy.find(x).graph().apply(back, {copy.find(x)}).front());
    try {
      gradient(y, {copy.find(x)});
      copy.check();
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(gradient_problem([](Backward& b) { b.input(-1, b.cotangent(0)); }),
             ContainsSubstring("its backward asks for an operand"));
  CHECK_THAT(gradient_problem([](Backward& b) { b.input(4, b.cotangent(0)); }),
             ContainsSubstring("it has 1 operands and 1 outputs, counted from 0"));
  CHECK_THAT(gradient_problem([](Backward&) { throw std::runtime_error("not today"); }),
             ContainsSubstring("fault_backward (own_op_faults_test.cpp:") &&
                 ContainsSubstring("its backward threw not today"));

  OpDef plain = identity("fault_plain", OWN_KERNELS(copy_kernel));
  plain.plain = [](const Plain& p) -> Values { return p.in[5]; };
  CHECK_THAT(faults(plain),
             ContainsSubstring(
                 "the plain definition of 'fault_plain' reads an operand that the node does not have: it has 1"));
}

TEST_CASE("what a user's batch rule or kernel throws names the node", "[core][testing][own_op][errors]") {
  OpDef op = identity("fault_late", OWN_KERNELS(copy_kernel));
  op.batch = [](const OpView&, std::span<const BatchState>) -> std::vector<BatchState> {
    throw std::runtime_error("where is it?");
  };
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 4), 3}), w = graph.parameter("w", {f32, {3}}, init::ones());
  const Step step = training_step(weighted_mean(graph.apply(op, {x * w}).front()));
  CHECK_THROWS_WITH(step | accumulate(2), ContainsSubstring("fault_late (own_op_faults_test.cpp:") &&
                                              ContainsSubstring("[fault_late] its batch rule threw where is it?"));
  op.batch = same_axis;
  op.kernels = {{.dtype = f32, .run = [](KernelContext&) { throw std::runtime_error("out of ideas"); }}};
  Store store(step);
  Program program(step, store);
  const Tensor fed(f32, {4, 3});
  CHECK_THROWS_WITH(program.run({{"x", fed}}),
                    ContainsSubstring("fault_late (own_op_faults_test.cpp:") &&
                        ContainsSubstring("[fault_late] its kernel threw out of ideas; hint: WEFT_CHECK(condition, "
                                          "\"what is expected, got {}\", x) says it with the node and your line"));
  op.batch = [](const OpView&, std::span<const BatchState>) -> std::vector<BatchState> { return {}; };
  CHECK_THROWS_WITH(step | accumulate(2),
                    ContainsSubstring("[fault_late] the batch rule gives 0 states for 1 outputs"));
  op.kernels = {{.dtype = f32, .bind = [](const OpView&) { return BoundKernel(); }}};
  CHECK_THROWS_WITH(
      Program(step, store),
      ContainsSubstring("fault_late (own_op_faults_test.cpp:") &&
          ContainsSubstring(
              ".bind of its kernel gives nothing to run; hint: it gives back a function of a KernelContext&"));
  CHECK_THAT(faults(identity("fault_bind", {{.dtype = f32, .bind = [](const OpView&) { return BoundKernel(); }},
                                            {.dtype = f64, .bind = [](const OpView&) { return BoundKernel(); }}})),
             ContainsSubstring(".bind of the kernel of 'fault_bind' gives nothing to run"));
}

TEST_CASE("definitions that cannot be are refused when they are registered", "[core][testing][own_op][errors]") {
  static OpDef batch = identity("fault_axis", OWN_KERNELS(copy_kernel));
  batch.samples = {{{sample::normal({3, 5}).batched(4)}}};
  CHECK_THROWS_WITH(
      registry().add(batch),
      ContainsSubstring(
          "sample 0 of the op 'fault_axis' has its batch at axis 4 of input 0, which has 2 axes; hint: .batched(0)"));
  static OpDef silent = identity("fault_silent", OWN_KERNELS(copy_kernel));
  silent.outputs.clear();
  CHECK_THROWS_WITH(registry().add(silent),
                    ContainsSubstring("the op 'fault_silent' gives nothing: it needs a name for each output"));
  Graph graph;
  graph.apply(silent, {graph.input("x", f32, {3})});
  CHECK_THROWS_WITH(graph.check(), ContainsSubstring("its shape rule gives 1 types, its outputs are 0"));
  static OpDef place = identity("fault_place", OWN_KERNELS(copy_kernel));
  place.traits.in_place = {{0, 3}};
  CHECK_THROWS_WITH(registry().add(place),
                    ContainsSubstring("the op 'fault_place' says that output 0 may lie in operand 3 (.in_place), it "
                                      "has 1 outputs and at most 1 operands"));
}

namespace {

// y = f(a, b), element by element.
template <class F>
OpDef of_two(const std::string& name, F f, TermRule terms) {
  OpDef op = identity(name, pointwise_kernels<float, double, bfloat16, float16>(f));
  op.least_inputs = op.most_inputs = 2;
  op.infer = broadcast_operands;
  op.backward = nullptr;
  op.plain = nullptr;
  op.terms = std::move(terms);
  op.samples = {{{sample::normal({3, 5}).batched(0), sample::normal({3, 5}).batched(0)}, {}, false}};
  return op;
}

}  // namespace

TEST_CASE("what an op declares of its terms is found out where it does not hold", "[core][testing][own_op]") {
  const auto holds = [](const OpDef& op) {
    const OpCheck check = weft::check_op(op);
    INFO(check.str());
    CHECK(check.passed());
    return std::ranges::any_of(check.lines, [](const OpCheck::Line& line) { return line.check == "terms"; });
  };
  const auto product = [](auto a, auto b) { return a * b; };
  const auto sum = [](auto a, auto b) { return a + b; };
  const auto bent = [](auto a, auto b) { return a * std::tanh(b); };
  CHECK(holds(of_two("terms_product", product, linear_in({0, 1}))));
  CHECK(holds(of_two("terms_sum", sum, terms_are({{.factors = {0}, .adds = 0}, {.factors = {1}, .adds = 1}}))));
  CHECK(holds(of_two("terms_bent", bent, linear_in({0}, {{1}}))));
  CHECK_FALSE(holds(of_two("terms_none", bent, nullptr)));

  CHECK_THAT(faults(of_two("fault_linear", bent, linear_in({0, 1}))),
             ContainsSubstring("terms: output 'y' is not linear in operand 1, which .terms says: f(0.75 x + -1.5 y) - "
                               "f(0) is"));
  CHECK_THAT(
      faults(of_two("fault_zero", sum, linear_in({0, 1}))),
      ContainsSubstring("where operands 0 are 0: .terms says that it is 0 where a factor of each of its terms is"));
  CHECK_THAT(faults(of_two("fault_unnamed", bent, linear_in({0}))),
             ContainsSubstring("output 'y' changes with operand 1, which none of its .terms names"));
  CHECK_THAT(faults(of_two(
                 "fault_inner", [](auto a, auto b) { return std::tanh(a + b); }, linear_in({}, {{0, 1}}))),
             ContainsSubstring("output 'y' changes with operand 0 where operand 1 is 0: .terms says that nothing of it "
                               "comes through"));
  CHECK_THAT(faults(of_two("fault_scalar", product, terms_are({{.factors = {0, 1}, .adds = 0}}))),
             ContainsSubstring(".adds of output 'y': operand 1 is a factor of what is added up, and no scalar"));
  CHECK_THAT(faults(of_two("fault_added", bent, terms_are({{.factors = {0}, .inner = {{1}}, .adds = 5}}))),
             ContainsSubstring(".terms names operand 5, the op has 2, counted from 0"));
  CHECK_THAT(faults(of_two("fault_output", product, terms_are({{.output = 1, .factors = {0, 1}}}))),
             ContainsSubstring(".terms names output 1, the op has 1, counted from 0"));
  CHECK_THAT(faults(of_two("fault_beside", sum, terms_are({{.factors = {0}, .adds = 1}, {.factors = {1}}}))),
             ContainsSubstring(".adds of output 'y' is operand 1, which its term does not name"));

  OpDef twice = identity("fault_twice", pointwise_kernels<float, double>([](auto x) { return x + x; }));
  twice.backward = nullptr;
  twice.plain = [](const Plain& p) -> Values { return p.in[0] * 2.0; };
  twice.terms = linear_in({0});
  CHECK(holds(twice));
  twice.terms = adds_up();
  CHECK_THAT(faults(twice), ContainsSubstring("element 0 of operand 0 moved by 1 moves 1 elements of output 'y', by 2: "
                                              ".adds says that each goes to one, as it is"));
}

TEST_CASE("units that do not lie where an op says, and wide operands that it refuses, are found",
          "[core][testing][own_op]") {
  OpDef op = identity("fault_units", OWN_KERNELS(copy_kernel));
  op.units = [](const OpView&) -> std::vector<UnitAxis> { return {{0, 1}}; };
  CHECK(weft::check_op(op).passed());
  op.units = [](const OpView&) -> std::vector<UnitAxis> { return {{0, 2}}; };
  CHECK_THAT(faults(op), ContainsSubstring("units: .units says axis 2 of operand 0, which is [batch=3, 5]"));
  op.units = [](const OpView&) -> std::vector<UnitAxis> { return {{1, 0}}; };
  CHECK_THAT(faults(op), ContainsSubstring(".units names operand 1, which is absent or not there"));
  op.kernels = OWN_KERNELS(running_sum_kernel);
  op.plain = [](const Plain& p) -> Values {
    return reshape(cumsum(reshape(p.in[0], {p.in[0].shape().count()}), 0), p.in[0].shape());
  };
  op.backward = nullptr;
  op.batch = [](const OpView&, std::span<const BatchState> in) -> std::vector<BatchState> {
    return {in[0].as_mixed()};
  };
  op.units = [](const OpView&) -> std::vector<UnitAxis> { return {{0, 0}}; };
  CHECK_THAT(faults(op),
             ContainsSubstring("units along axis 0 of operand 0 do not lie along an axis of an output: what "
                               "one of the 3 changes is not its own alone; .units says so"));

  OpDef wide = of_two("fault_wide", [](auto a, auto b) { return a + b; }, nullptr);
  CHECK(weft::check_op(wide).passed());
  wide.wide_operands = {1};
  CHECK_THAT(faults(wide), ContainsSubstring("wide operands: .wide_operands says that the op takes them in f32 beside "
                                             "bf16:"));
  wide.wide_operands = {2};
  CHECK_THAT(faults(wide), ContainsSubstring(".wide_operands names operand 2, the op has 2, counted from 0"));
}

TEST_CASE("a draw that reaches the end of its interval is found", "[core][testing][own_op]") {
  const auto of = [](bool below) {
    OpDef op{.name = below ? "fault_none_range" : "fault_range",
             .law = "y ~ U[0, 1)",
             .least_inputs = 0,
             .most_inputs = 0,
             .infer = shape_attribute,
             .batch = [](const OpView& view, std::span<const BatchState>) { return every_output(view, BatchState{}); },
             .range = [](const OpView&) { return Interval{0, 1}; },
             .traits = {.random = true, .refuses = false},
             .samples = {{{}, {{"dtype", f32}, {"shape", Shape{3, 5}}, {"stream", std::int64_t{1}}}, false}}};
    if (below) op.kernels = {{.dtype = f32, .run = draw_kernel<true>}};
    else op.kernels = {{.dtype = f32, .run = draw_kernel<false>}};
    return op;
  };
  const OpCheck sound = weft::check_op(of(true));
  CHECK_THAT(sound.str(), !ContainsSubstring("range"));
  CHECK_THAT(faults(of(false)), ContainsSubstring("range: of [0, 1) the op draws ") &&
                                    ContainsSubstring("hint: rounding may reach the end that does not belong to it"));
}

TEST_CASE("a gradient that counts an operand given twice once too often is found", "[core][testing][own_op]") {
  OpDef op{.name = "fault_twice",
           .law = "y = a b",
           .least_inputs = 2,
           .most_inputs = 2,
           .infer = same_as_float_input,
           .batch = same_axis,
           .backward =
               [](Backward& b) {
                 const bool once = b.in(0) == b.in(1);  // and forgets that the other place adds the same
                 b.input(0, (once ? 2.0 : 1.0) * b.cotangent(0) * b.in(1));
                 b.input(1, b.cotangent(0) * b.in(0));
               },
           .plain = [](const Plain& p) -> Values { return p.in[0] * p.in[1]; },
           .kernels = OWN_KERNELS(product_kernel),
           .samples = {{{sample::normal({3, 5}).batched(0), sample::normal({3, 5}).batched(0)}}}};
  CHECK_THAT(faults(op), ContainsSubstring("one value twice: the gradient of one value as operands 0 and 1 is off by"));
}

TEST_CASE("a gradient that is rebuilt from one rounded number is found", "[core][testing][own_op]") {
  OpDef op{.name = "fault_offset",
           .law = "y = log sum exp(x)",
           .infer = [](const OpView& view) -> std::vector<TensorType> {
             return {{view.type(0).dtype, {view.shape(0)[0], 1}}};
           },
           .batch = same_axis,
           .backward = [](Backward& b) { b.input(0, b.cotangent(0) * exp(b.in(0) - b.out(0))); },
           .plain = [](const Plain& p) -> Values { return logsumexp(p.in[0], LogSumExpOptions{.keep = true}); },
           .kernels = OWN_KERNELS(logsumexp_kernel),
           .samples = {{{sample::normal({3, 5}).batched(0)}}}};
  CHECK_THAT(faults(op), ContainsSubstring("large numbers: with operand 0 moved by 1e+08 the outputs are off by 0 and the "
                                           "gradients by "));
  op.backward = [](Backward& b) { b.input(0, b.cotangent(0) * softmax(b.in(0))); };
  const OpCheck sound = weft::check_op(op);
  INFO(sound.str());
  CHECK(sound.passed());
}

TEST_CASE("a count in the type of the elements is found", "[core][testing][own_op]") {
  OpDef op = identity("fault_count", {{.dtype = f32, .run = copy_kernel<float>},
                                      {.dtype = f64, .run = copy_kernel<double>},
                                      {.dtype = f16, .run = copy_kernel<float16>}});
  CHECK(weft::check_op(op).passed());
  op.backward = [](Backward& b) {
    const Value count = sum(ones_like(b.in(0)));
    b.input(0, b.cotangent(0) * (count / count));
  };
  CHECK_THAT(faults(op), ContainsSubstring("many elements (3 as 70000): of f16 the outputs are off by ") &&
                             ContainsSubstring("hint: f16 counts to 65,504"));
}

TEST_CASE("a refusal that is not declared is found", "[core][testing][own_op]") {
  OpDef op = identity("fault_refusal", OWN_KERNELS(copy_positive_kernel));
  op.samples = {{{sample::uniform({3, 5}, 1, 2).batched(0)}}};
  CHECK(weft::check_op(op).passed());  // an op of one's own may refuse unless it says that it does not
  op.traits.refuses = false;
  CHECK_THAT(faults(op), ContainsSubstring("refusals: with -1 in operand 0 the kernel refuses the run: ") &&
                             ContainsSubstring("only what is positive; hint: .traits = {.refuses = true}"));
}
