// Sizes that no machine has, or this one has not: refused where they come in, before anything is allocated.
#include <support/catch.h>

#include <weft/runtime/allocate.h>
#include <weft/weft.h>

#include <limits>

using namespace weft;

namespace {

constexpr std::int64_t huge = std::int64_t{1} << 62;

// A graph's first problem.
std::string problem_of(const std::function<void(Graph&)>& build) {
  Graph graph;
  try {
    build(graph);
    graph.check();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("extents whose product does not fit 63 bits", "[core][graph][errors]") {
  CHECK_THROWS_WITH(Dim(huge) * Dim(2), ContainsSubstring("the extent 4611686018427387904 times 2 does not fit 63 bits"));
  CHECK_THROWS_WITH(Dim::named("batch", huge) * Dim::named("time", 4), ContainsSubstring("does not fit 63 bits"));
  CHECK_THROWS_WITH(Shape({huge, 2}).count(), ContainsSubstring("[4611686018427387904, 2] has more than 2^63 elements"));
  CHECK(Shape({huge, 0, 4}).count() == 0);
  CHECK((Dim(huge) * Dim(1)).value() == huge);
}

TEST_CASE("a tensor that no process can address is refused where it is named", "[core][graph][errors]") {
  const std::string what = "has more bytes than a process can address (2^47)";
  CHECK_THAT(problem_of([](Graph& g) { g.input("x", f32, {huge}); }), ContainsSubstring("f32[4611686018427387904] " + what));
  CHECK_THAT(problem_of([](Graph& g) { g.parameter("w", {f64, {1 << 30, 1 << 30}}, init::zeros()); }),
             ContainsSubstring(what) && ContainsSubstring("sizes_test.cpp:"));
  CHECK_THAT(problem_of([](Graph& g) { zeros(g, {huge, 4}); }), ContainsSubstring("has more than 2^63 elements"));
  CHECK_THAT(problem_of([](Graph& g) { broadcast_to(g.input("x", f32, {1}), {std::int64_t{1} << 46}); }), ContainsSubstring(what));
  CHECK_THAT(problem_of([](Graph& g) {
               const Value x = g.input("x", f32, {1 << 20, 1});
               const Value wide = g.input("w", f32, {1, 1 << 30});
               matmul(x, wide);
             }),
             ContainsSubstring("[matmul] f32[1048576, 1073741824] " + what));
}

TEST_CASE("a tensor that this machine cannot hold", "[core][runtime][errors]") {
  CHECK_THROWS_WITH(Tensor(f32, {1 << 23, 1 << 22}),
                    ContainsSubstring("a tensor f32[8388608, 4194304] has more bytes than this process may use ("));
  CHECK_THROWS_WITH(Tensor(f64, {huge}), ContainsSubstring("has more bytes than this process may use"));
  CHECK_THROWS_WITH(Tensor(f64, {huge, 4}), ContainsSubstring("too many elements"));
  CHECK_THROWS_WITH(allocate_aligned(std::size_t{1} << 50), ContainsSubstring("bytes of memory are not to be had"));
  CHECK(machine_bytes() > (std::size_t{1} << 28));
}

TEST_CASE("a model that this machine cannot hold names its largest parameters", "[core][runtime][errors]") {
  Graph graph;
  graph.parameter("small", {f32, {10}}, init::zeros());
  graph.parameter("table", {f32, {1 << 20, 1 << 22}}, init::zeros());
  graph.parameter("half", {f32, {1 << 20, 1 << 21}}, init::zeros());
  CHECK_THROWS_WITH(Store(graph),
                    ContainsSubstring("a Store of these parameters and states needs 26388279066664 bytes, this process "
                                      "may use ") &&
                        ContainsSubstring("\n  17592186044416 bytes: f32[1048576, 4194304] of 'table' (sizes_test.cpp:") &&
                        ContainsSubstring("\n  8796093022208 bytes: f32[1048576, 2097152] of 'half'"));
}

TEST_CASE("a run that this machine cannot hold names the largest values of its peak", "[core][runtime][errors]") {
  Graph graph;
  const Value x = graph.input("x", f32, {1 << 20, 1}), y = graph.input("y", f32, {1, 1 << 21});
  const Step step = fetching({sum(exp(matmul(x, y)))});
  Store store(step);
  CHECK(plan(step).arena_bytes > (std::size_t{1} << 42));  // planning it is no harm
  CHECK_THROWS_WITH(Program(step, store), ContainsSubstring("a run of this step needs ") &&
                                              ContainsSubstring("bytes, this process may use ") &&
                                              ContainsSubstring("f32[1048576, 2097152] of '"));
}
