#include <weft/runtime/in_place.h>

#include <support/catch.h>
#include <weft/weft.h>

#include <vector>

using namespace weft;

namespace {

// y[i] = a[i] + b[n - 1 - i]: may lie in a's bytes, not pointwise.
const OpDef& plus_turned_op() {
  static const OpDef op{.name = "plus_turned",
                        .least_inputs = 2,
                        .most_inputs = 2,
                        .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                        .traits = {.in_place = {{0, 0}}},
                        .kernels = {{.run = [](KernelContext& context) {
                          const std::int64_t n = context.type(0).count();
                          for (std::int64_t i = 0; i < n; ++i)
                            context.out<float>(0)[i] = context.in<float>(0)[i] + context.in<float>(1)[n - 1 - i];
                        }}}};
  return op;
}

// Pairs as {output, operand}.
std::vector<std::pair<int, int>> legal(const Value& y) {
  std::vector<std::pair<int, int>> pairs;
  for (const InPlace& pair : legal_in_place(y.graph(), y.node())) pairs.emplace_back(pair.output, pair.operand);
  return pairs;
}

using Pairs = std::vector<std::pair<int, int>>;

}  // namespace

TEST_CASE("an output may take the bytes of an operand as large as itself that no other operand shares",
          "[core][runtime]") {
  Graph graph;
  const Value a = graph.input("a", f32, {4}), b = graph.input("b", f32, {4}), one = graph.input("one", f32, {1});
  const auto turned = [&](const Value& x, const Value& y) { return graph.apply(plus_turned_op(), {x, y})[0]; };
  CHECK(legal(turned(a, b)) == Pairs{{0, 0}});
  CHECK(legal(turned(a, a)).empty());
  CHECK(legal(turned(a, reshape(reshape(a, {2, 2}), {4}))).empty());  // the same bytes through views

  // A pointwise node reads an element of both before it writes it.
  CHECK(legal(a + b) == Pairs{{0, 0}, {0, 1}});
  CHECK(legal(a + a) == Pairs{{0, 0}, {0, 1}});
  CHECK(legal(a + one) == Pairs{{0, 0}});
  // Not of another type: the row and the column of one vector meet as a matrix.
  CHECK(legal(reshape(a, {4, 1}) + a).empty());
  CHECK(legal(a + reshape(a, {1, 4})) == Pairs{{0, 0}});
}

TEST_CASE("a state that its update reads twice is not overwritten while it is read", "[core][runtime]") {
  Graph graph;
  const Value s = graph.state("s", {f32, {4}}, init::constant(0));
  Step step;
  step.graph = graph;
  step.updates = {{s, graph.apply(plus_turned_op(), {s, s})[0]}};
  Store store(step);
  store.set("s", Tensor::of<float>({4}, {1, 2, 4, 8}));
  Program program(step, store);
  program.run();
  CHECK(same_bits(store.tensor("s"), Tensor::of<float>({4}, {9, 6, 6, 9})));
  CHECK(program.plan().copies.size() == 1);
}
