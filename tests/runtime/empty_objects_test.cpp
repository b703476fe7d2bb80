// Every public function of every object that can be empty or moved from: a UserError or an answer, never another's
// memory. The right order of reading: make(), use(), and what must come of it.
#include <support/catch.h>

#include <weft/runtime/tensor_xt.h>
#include <weft/weft.h>

#include <functional>
#include <utility>

using namespace weft;

namespace {

struct Use {
  std::string what;
  std::function<void()> run;
};

// Each use ends in a UserError that says `why`, or does not throw where `why` is empty.
void expect_each(const std::vector<Use>& uses, const std::string& why) {
  for (const Use& use : uses) {
    INFO(use.what);
    if (why.empty()) CHECK_NOTHROW(use.run());
    else CHECK_THROWS_WITH(use.run(), ContainsSubstring(why));
  }
}

template <class T>
T moved_from(T object) {
  const T taken = std::move(object);
  return object;  // NOLINT(bugprone-use-after-move): that is the point
}

struct Model {
  Graph graph;
  Value x = graph.input("x", f32, {2});
  Value w = graph.parameter("w", {f32, {2}}, init::ones());
  Step step = training_step(sum(w * x)) | optimize(sgd({.rate = 0.1}));
  Store store{step};
  Program program{step, store};
  Tensor fed = Tensor::of<float>({2}, {1, 2});
};

}  // namespace

TEST_CASE("no tensor: Tensor() and one that was moved from", "[core][runtime][errors]") {
  Tensor full = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor taken = std::move(full);
  CHECK(taken.at(5) == 6);
  for (const Tensor& none : {Tensor(), full}) {  // NOLINT(bugprone-use-after-move)
    Tensor x = none;
    expect_each({{"data", [&] { x.data<float>(); }},
                 {"values", [&] { x.values<float>(); }},
                 {"as", [&] { x.as<float>(); }},
                 {"item", [&] { x.item(); }},
                 {"at", [&] { x.at(0); }},
                 {"clone", [&] { x.clone(); }},
                 {"cast", [&] { x.cast(f64); }},
                 {"reshaped", [&] { x.reshaped({}); }},
                 {"rows", [&] { x.rows(0, 0); }},
                 {"doubles", [&] { doubles(x); }},
                 {"is_finite", [&] { is_finite(x); }},
                 {"spread_of", [&] { spread_of(x); }}},
                "there is no tensor here: it is Tensor() or was moved from; hint: Tensor(f32, {2, 3})");
    CHECK_THROWS_AS(x.extent(0), UserError);
    CHECK(x.empty());
    CHECK(x.size() == 0);
    CHECK(x.bytes() == 0);
    CHECK(x.extents().empty());
    CHECK(x.type_str() == "no tensor");
    x = taken;
    CHECK(x.at(0) == 1);
  }
  Model m;
  const Tensor none;
  CHECK_THROWS_WITH(m.program.run({{"x", none}}), ContainsSubstring("must be f32[2], it was fed no tensor"));
  Tensor self = Tensor::of<float>({1}, {4});
  Tensor& same = self;
  self = std::move(same);
  CHECK(self.item() == 4);
}

TEST_CASE("a program that was moved from", "[core][runtime][errors]") {
  Model m;
  Program here = std::move(m.program);
  Program& gone = m.program;
  expect_each({{"run", [&] { gone.run({{"x", m.fed}}); }},
               {"profile", [&] { gone.profile({{"x", m.fed}}); }},
               {"plan", [&] { gone.plan(); }},
               {"store", [&] { gone.store(); }},
               {"allocated_bytes", [&] { gone.allocated_bytes(); }}},
              "this Program was moved from; hint: use the one it was moved to");
  CHECK(here.run({{"x", m.fed}}).scalar("loss") == 3);
  gone = std::move(here);
  CHECK_NOTHROW(gone.run({{"x", m.fed}}));
}

TEST_CASE("a result keeps the memory that it shows", "[core][runtime][errors]") {
  Model m;
  auto program = std::make_unique<Program>(m.step, m.store);
  Result result = program->run({{"x", m.fed}});
  program.reset();
  CHECK(result.scalar("loss") == 3);
  const Tensor loss = result.tensor("loss");
  Result here = std::move(result);
  expect_each({{"scalar", [&] { result.scalar("loss"); }},  // NOLINT(bugprone-use-after-move)
               {"tensor", [&] { result.tensor("loss"); }},
               {"tensor of a value", [&] { result.tensor(m.w); }},
               {"has", [&] { result.has("loss"); }}},
              "this Result was moved from; hint: use the one it was moved to");
  CHECK(here.scalar("loss") == 3);
  here = result;
  CHECK(loss.item() == 3);  // its tensor too
}

TEST_CASE("a store that was moved from", "[core][runtime][errors]") {
  Model m;
  Store here = std::move(m.store);
  Store& gone = m.store;
  expect_each({{"add", [&] { gone.add(m.graph); }},
               {"has", [&] { gone.has("w"); }},
               {"tensor", [&] { gone.tensor("w"); }},
               {"const tensor", [&] { std::as_const(gone).tensor("w"); }},
               {"set", [&] { gone.set("w", m.fed); }},
               {"cells", [&] { gone.cells(); }},
               {"match", [&] { gone.match("*"); }},
               {"seed", [&] { gone.seed(); }},
               {"set_seed", [&] { gone.set_seed(1); }},
               {"runs", [&] { gone.runs(); }},
               {"set_runs", [&] { gone.set_runs(1); }},
               {"updates", [&] { gone.updates(); }},
               {"bytes", [&] { gone.bytes(); }},
               {"clone", [&] { gone.clone(); }},
               {"copy", [&] { Store copy = gone; }},
               {"share", [&] { gone.share(); }},
               {"overlaid", [&] { gone.overlaid("average/"); }},
               {"program", [&] { Program(m.step, gone); }}},
              "this Store was moved from; hint: use the one it was moved to");
  CHECK_NOTHROW(m.program.run({{"x", m.fed}}));
  gone = std::move(here);
  CHECK(gone.has("w"));
}

TEST_CASE("a graph is a handle: moved from, it is the same graph", "[core][graph]") {
  Graph graph;
  const Value x = graph.input("x", f32, {2});
  Graph here = std::move(graph);
  CHECK(graph == here);  // NOLINT(bugprone-use-after-move)
  CHECK(graph.find(x) == x);
  const Graph none = moved_from(Graph());
  expect_each({{"ids", [&] { none.ids(); }},
               {"check", [&] { none.check(); }},
               {"clone", [&] { none.clone(); }},
               {"problems", [&] { none.problems(); }},
               {"inputs", [&] { none.inputs(); }},
               {"find_name", [&] { none.find_name("x"); }}},
              "");
}

TEST_CASE("a value that was never built or moved from", "[core][graph][errors]") {
  Graph graph;
  Value built = graph.input("x", f32, {2});
  const Value taken = std::move(built);
  for (const Value& none : {Value(), built}) {  // NOLINT(bugprone-use-after-move)
    CHECK(none.absent());
    expect_each({{"type", [&] { none.type(); }},
                 {"shape", [&] { none.shape(); }},
                 {"dtype", [&] { none.dtype(); }},
                 {"rank", [&] { none.rank(); }},
                 {"dim", [&] { none.dim(0); }},
                 {"node", [&] { none.node(); }},
                 {"name", [&] { none.name(); }},
                 {"graph", [&] { none.graph(); }},
                 {"evaluate", [&] { evaluate(none); }}},
                "a value that was never built");
    CHECK_THROWS_AS(exp(none), UserError);
    CHECK_THROWS_AS(gradient(none, {taken}), UserError);
    CHECK_THROWS_AS(graph.find(none), UserError);
    CHECK_THROWS_AS(training_step(Loss(none)), UserError);
  }
}

TEST_CASE("a step of nothing and one that was moved from", "[core][graph][errors]") {
  Model m;
  Step full = m.step;
  const Step taken = std::move(full);
  CHECK(taken.has_fetch("loss"));
  for (const Step& none : {Step(), full}) {  // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(none.fetch("loss"), UserError);
    expect_each({{"has_fetch", [&] { none.has_fetch("loss"); }},
                 {"history", [&] { none.history(); }},
                 {"roots", [&] { none.roots(); }},
                 {"plan", [&] { plan(none); }},
                 {"store", [&] { Store store(none); }}},
                "");
    CHECK_THROWS_AS(none | optimize(sgd({.rate = 0.1})), UserError);
    Store store(none);
    Program program(none, store);
    CHECK_THROWS_WITH(program.run().scalar("loss"), ContainsSubstring("this step publishes no 'loss'"));
  }
}
