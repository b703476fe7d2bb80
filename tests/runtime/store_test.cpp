// Cells of a store: what assigning, copying, moving and ending a store does to programs over it.
#include <support/catch.h>

#include <weft/weft.h>

#include <memory>

using namespace weft;

namespace {

struct Setup {
  Graph graph;
  Value w = graph.parameter("w", {f32, {2}}, init::constant(1));
  Step step = training_step(sum(square(w))) | optimize(sgd({.rate = 0.5}));
  Step other_step() {
    Graph other;
    const Value v = other.parameter("v", {f32, {3}}, init::ones());
    return training_step(sum(v)) | optimize(sgd({.rate = 1}));
  }
  static double total(Program& program) { return program.run().scalar("loss"); }
};

}  // namespace

TEST_CASE("assigning to a cell copies into it", "[core][runtime]") {
  Setup s;
  Store store(s.step);
  Program program(s.step, store);
  store.tensor("w") = Tensor::of<float>({2}, {3, 4});
  CHECK(Setup::total(program) == 25);  // the gradient is 2 w: w := 0
  CHECK(doubles(store.tensor("w")) == std::vector<double>{0, 0});
  Tensor handle = store.tensor("w");
  handle.data<float>()[0] = 6;
  CHECK(Setup::total(program) == 36);
  const Store before = store;
  handle = Tensor::of<float>({2}, {7, 7});  // a handle is rebound, the cell is not
  CHECK(same_bits(store.tensor("w"), before.tensor("w")));
  store.set("w", Tensor::of<float>({2}, {1, 2}));
  store.tensor("w") = store.tensor("w");
  CHECK(Setup::total(program) == 5);
}

TEST_CASE("a cell keeps its type", "[core][runtime][errors]") {
  Setup s;
  Store store(s.step);
  CHECK_THROWS_WITH(store.tensor("w") = Tensor(f32, {3}), ContainsSubstring("'w' is f32[2], it was given f32[3]"));
  CHECK_THROWS_WITH(store.set("w", Tensor(f64, {2})), ContainsSubstring("'w' is f32[2], it was given f64[2]"));
  CHECK_THROWS_WITH(store.tensor("w") = Tensor(), ContainsSubstring("'w' is f32[2], it was given no tensor"));
}

TEST_CASE("a copy of a store has cells of its own, a shared handle has the same", "[core][runtime]") {
  Setup s;
  Store store(s.step);
  Store copy = store, shared = store.share();
  store.tensor("w") = Tensor::of<float>({2}, {5, 5});
  store.set_runs(7);
  CHECK(copy.tensor("w").at(0) == 1);
  CHECK(copy.runs() == 0);
  CHECK(shared.tensor("w").at(0) == 5);
  CHECK(shared.runs() == 7);
  Program program(s.step, shared);
  program.run();
  CHECK(store.tensor("w").at(0) == 0);
  CHECK(store.runs() == 8);
}

TEST_CASE("assigning a store over which there are programs copies into its cells", "[core][runtime]") {
  Setup s;
  Store store(s.step), other(s.step);
  other.tensor("w") = Tensor::of<float>({2}, {2, 1});
  other.set_runs(3);
  Program program(s.step, store);
  store = other;
  CHECK(store.runs() == 3);
  CHECK(Setup::total(program) == 5);
  CHECK(other.tensor("w").at(0) == 2);
  store = Store(s.step);
  CHECK(Setup::total(program) == 2);
  CHECK_THROWS_WITH(store = Store(s.other_step()),
                    ContainsSubstring("is not in the Store that is assigned; hint: a program is bound to the cells"));
  Graph wide;
  wide.parameter("w", {f32, {3}}, init::ones());
  wide.state("updates", {i64, {}}, init::zeros());
  CHECK_THROWS_WITH(store = Store(wide), ContainsSubstring("; hint: a program is bound to the cells of this Store"));
  CHECK(doubles(store.tensor("w")) == std::vector<double>{0, 0});
}

TEST_CASE("a store without programs takes whatever it is assigned", "[core][runtime]") {
  Setup s;
  Store store(s.step);
  store = Store(s.other_step());
  CHECK(store.has("v"));
  CHECK(!store.has("w"));
}

TEST_CASE("a program outlives its store", "[core][runtime]") {
  Setup s;
  auto store = std::make_unique<Store>(s.step);
  Program program(s.step, *store);
  Store moved = std::move(*store);
  store.reset();
  CHECK(Setup::total(program) == 2);
  CHECK(moved.tensor("w").at(0) == 0);
  CHECK(program.store().tensor("w").at(0) == 0);
  moved = Store(s.step);
  CHECK(program.store().tensor("w").at(0) == 1);
}

TEST_CASE("a run that is refused changes nothing in the store", "[core][runtime]") {
  static bool refuse = false;
  static const OpDef own{.name = "own_refusal",
                         .infer = [](const OpView& view) { return std::vector{view.type(0)}; },
                         .backward = [](Backward& b) { b.input(0, b.cotangent(0)); },
                         .kernels = {{.run = [](KernelContext& context) {
                           WEFT_CHECK(!refuse, "not today");
                           std::copy_n(context.in_bytes(0), context.out_type(0).bytes(), context.out_bytes(0));
                         }}}};
  for (const bool of_library : {true, false}) {
    CAPTURE(of_library);
    Graph graph;
    const Value ids = graph.input("ids", i64, {2});
    Value loss;
    for (int i = 0; i < 6; ++i) {
      const Value w = graph.parameter(fmt::format("w{}", i), {f32, {30, 30}}, init::normal(0, 1));
      const Value term = sum(square(w)) * double(i + 1);
      loss = loss.absent() ? term : loss + term;
    }
    const Transform rows{.name = "rows",
                         .claim = Claim::same_bits,
                         .needs = {"gradients"},
                         .apply = [&](Step step) {
                           const Value g = step.gradients[3].value;
                           step.set_fetch("rows", of_library ? index_select(g, 0, step.find(ids))
                                                             : step.graph.apply(own, {g})[0] + sum(cast(step.find(ids), f32)));
                           return step;
                         }};
    for (const Optimizer& optimizer : {adamw(), sgd({.rate = 0.1}), lamb()}) {
      const Step step = training_step(Loss(loss)) | rows | optimize(optimizer);
      Store store(step);
      Program program(step, store);
      const Tensor good(i64, {2}), bad = Tensor::of<std::int64_t>({2}, {0, 500});
      refuse = false;
      program.run({{"ids", good}});
      const Store before = store;
      refuse = true;
      CHECK_THROWS_AS(program.run({{"ids", bad}}), UserError);
      for (const auto& [path, cell] : store.cells()) {
        INFO(path);
        CHECK(same_bits(cell.tensor, before.tensor(path)));
      }
      CHECK(store.runs() == before.runs());
    }
    refuse = false;
  }
}
