#include <support/catch.h>

#include <weft/runtime/tensor_xt.h>
#include <weft/weft.h>

#include <atomic>
#include <cmath>

using namespace weft;

namespace {

Tensor ramp(Tensor::Extents extents, float first = 0, float step = 1) {
  Tensor tensor(f32, std::move(extents));
  for (std::int64_t i = 0; i < tensor.size(); ++i) tensor.data<float>()[i] = first + step * static_cast<float>(i);
  return tensor;
}

}  // namespace

TEST_CASE("a program computes what the graph says", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2, 3});
  const Value y = (x + 1.0) * x;
  const Tensor fed = ramp({2, 3});
  const Tensor result = evaluate(y, {{"x", fed}});
  for (std::int64_t i = 0; i < 6; ++i) CHECK(result.at(i) == (fed.at(i) + 1) * fed.at(i));
}

TEST_CASE("feeds are checked by name, type and shape, and the message names the input's line", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 2), 3});
  const Value y = graph.input("y", f32, {3});
  const Step step = fetching({x + y});
  Store store(graph);
  Program program(step, store);
  const Tensor good = ramp({2, 3}), row = ramp({3});
  CHECK_NOTHROW(program.run({{"x", good}, {"y", row}}));
  CHECK_THROWS_WITH(program.run({{"x", good}}),
                    ContainsSubstring("the input 'y' (program_test.cpp:") && ContainsSubstring("was not fed"));
  CHECK_THROWS_WITH(program.run({{"x", good}, {"y", row}, {"z", row}}),
                    ContainsSubstring("no input is named 'z'; this program reads: x, y"));
  CHECK_THROWS_WITH(program.run({{"x", row}, {"y", row}}),
                    ContainsSubstring("must be f32[batch=2, 3], it was fed f32[3]"));
  CHECK_THROWS_WITH(program.run({{"x", good.cast(f64)}, {"y", row}}), ContainsSubstring("it was fed f64[2, 3]"));
  CHECK_THROWS_WITH(program.run({{"x", good}, {"x", good}, {"y", row}}), ContainsSubstring("'x' was fed twice"));
}

TEST_CASE("a program runs with the threads of its plan and leaves those of the process", "[core][runtime]") {
  static std::atomic<int> seen;
  static const OpDef op{.name = "asks_threads",
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .kernels = {{.run = [](KernelContext& context) {
                          seen = threads();
                          *context.out<float>(0) = *context.in<float>(0);
                        }}}};
  Graph graph;
  const Value x = graph.input("x", f32, {1});
  const Step step = fetching({graph.apply(op, {x})[0]});
  const int process = threads();
  Store store(step);
  for (const int count : {1, 3}) {
    Program program(step, store, {.threads = process + count});
    CHECK(threads() == process);
    const Tensor one = Tensor::of<float>({1}, {1});
    program.run({{"x", one}});
    CHECK(seen == process + count);
    const Profile profile = program.profile({{"x", one}}, {.runs = 1, .limit = {.product_flops = 1, .bytes = 1}});
    CHECK(profile.threads == process + count);
    CHECK(threads() == process);
  }
}

TEST_CASE("a fetch of a parameter shows it as it was before its update", "[core][runtime]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {2}}, init::ones());
  graph.update(w, w + 1.0);
  Step step = fetching({w});
  step.take_updates();
  Store store(graph);
  Program program(step, store);
  CHECK(program.run().tensor(w).at(0) == 1);
  CHECK(store.tensor("w").at(0) == 2);
  CHECK(program.run().tensor(w).at(0) == 2);
  CHECK(store.tensor("w").at(1) == 3);
}

TEST_CASE("two states can be swapped in one run", "[core][runtime]") {
  Graph graph;
  const Value a = graph.state("a", {f32, {}}, init::constant(1));
  const Value b = graph.state("b", {f32, {}}, init::constant(2));
  Step step = fetching({a + b});
  step.updates = {{a, b}, {b, a}};
  Store store(graph);
  Program program(step, store);
  program.run();
  CHECK(store.tensor("a").item() == 2);
  CHECK(store.tensor("b").item() == 1);
}

TEST_CASE("a state whose old value is read after its update is copied at the end, not overwritten", "[core][runtime]") {
  Graph graph;
  const Value w = graph.parameter("w", {f32, {3}}, init::constant(5));
  const Value next = w * 2.0;
  const Value change = next - w;  // reads w and depends on what would overwrite it
  Step step = fetching({change});
  step.updates = {{w, next}};
  Store store(graph);
  Program program(step, store);
  check_plan(program.plan());
  CHECK(program.run().tensor(change).at(0) == 5);
  CHECK(store.tensor("w").at(0) == 10);
}

TEST_CASE("a result says which fetches there are", "[core][runtime]") {
  Graph graph;
  const Value x = graph.parameter("x", {f32, {2}}, init::ones());
  const Value y = x + 1.0;
  const Value z = y * 3.0;
  Store store(graph);
  Program program(fetching({z}) | fetch("answer", z), store);
  const Result result = program.run();
  CHECK(result.tensor("answer").at(1) == 6);
  CHECK_THROWS_WITH(result.tensor("nothing"), ContainsSubstring("publishes no 'nothing'; there are: multiply, answer"));
  CHECK_THROWS_WITH(result.tensor(y), ContainsSubstring("'add' was removed by row_regions; hint: fetch it"));
  Program apart(fetching({z}), store, {.lowering = {.disabled = {"row_regions"}}});
  CHECK_THROWS_WITH(apart.run().tensor(y), ContainsSubstring("is not fetched by this program"));
  CHECK_THROWS_WITH(result.scalar("answer"), ContainsSubstring("one element"));
}

TEST_CASE("the plan's bytes are the program's bytes, to the last", "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {64, 33});
  Value h = x;
  for (int i = 0; i < 6; ++i) h = tanh(h * 1.5) + h;
  Store store(graph);
  Program program(fetching({h}), store, {.lowering = {.disabled = {"row_regions"}}});  // else all is one node
  check_plan(program.plan());
  CHECK(program.allocated_bytes() == program.plan().arena_bytes + program.plan().constant_bytes);
  CHECK(program.plan().arena_bytes >= program.plan().lower_bound);
  CHECK(program.plan().arena_bytes < program.plan().unshared_bytes);
  CHECK_THAT(program.plan().str(), ContainsSubstring("peak at node"));
}

TEST_CASE("a graph with problems is refused with all of them at once", "[core][runtime][errors]") {
  Graph graph;
  const Value a = graph.input("a", f32, {2, 3});
  const Value b = graph.input("b", f32, {4});
  const Value c = graph.input("c", i32, {3});
  const Value bad = a + b;
  const Value worse = a * c;
  const Value silent = bad + worse;  // skipped: its operands failed
  CHECK_FALSE(silent.valid());
  try {
    Store store(graph);
    FAIL("no error");
  } catch (const UserError& error) {
    const std::string text = error.what();
    CHECK_THAT(text, ContainsSubstring("the graph has 2 problems"));
    CHECK_THAT(text, ContainsSubstring("do not broadcast"));
    CHECK_THAT(text, ContainsSubstring("program_test.cpp:"));
    CHECK_THAT(text, ContainsSubstring("operand 1: i32[3] from c"));
    CHECK_THAT(text, ContainsSubstring("cast"));
  }
}

TEST_CASE("xtensor expressions go in and come out without ceremony", "[core][runtime]") {
  const xt::xarray<float> values = {{1, 2, 3}, {4, 5, 6}};
  const Tensor tensor = Tensor::from(values * 2.0F);
  CHECK(tensor.extents() == Tensor::Extents{2, 3});
  CHECK(tensor.as<float>()(1, 2) == 12.0F);
}
