// Nothing in building or passing over a graph may be quadratic in its size.
#include <weft/graph/at_batch.h>
#include <weft/graph/passes/common_subexpressions.h>
#include <weft/graph/passes/dead_code.h>
#include <weft/graph/print.h>
#include <weft/graph/verify.h>

#include <graph/toy_ops.h>
#include <support/catch.h>

#include <ctime>
#include <functional>

using namespace weft;
using toy::negate, toy::plus;

namespace {

// Of processor time: a busy machine changes nothing.
double seconds(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

TEST_CASE("a graph of twenty thousand nodes is built and passed over in well below a second", "[core][graph]") {
  constexpr int pairs = 5000;  // four nodes each: two are equal, one is dead
  Graph graph;
  Step step, after;
  const double build = seconds([&] {
    const Value x = graph.input("x", f32, {graph.dim("batch", 4), 8});
    Value y = x;
    for (int i = 0; i < pairs; ++i) {
      const auto scope = graph.scope(fmt::format("block/{}", i % 100));
      const Value a = negate(y), b = negate(y);
      plus(x, y);
      y = plus(a, b);
    }
    step = toy::step_of(graph, {{"y", y}});
  });
  const double passes = seconds([&] { after = dead_code(common_subexpressions(step)); });
  const double rest = seconds([&] {
    verify(after);
    str(after);
    dot(after);
    at_batch(after, 2);
  });
  CHECK(graph.size() == 4 * pairs + 1);
  CHECK(after.graph.size() == 2 * pairs + 1);
  INFO("build " << build << " s, passes " << passes << " s, verify, print and at_batch " << rest << " s");
  // A quadratic step takes tens of seconds; sanitizers stay far below this. Times: weft_tests -s.
  CHECK(build < 5);
  CHECK(passes < 5);
  CHECK(rest < 10);
}
