// Plans of steps that run their micro-batches one after the other in one arena.
#include <support/catch.h>

#include <weft/graph/graph_data.h>
#include <weft/weft.h>

#include <algorithm>
#include <cmath>

using namespace weft;

namespace {

constexpr BatchState rows = {BatchState::Kind::split, 0, 1, 1};

// before: v = 2 w; each micro-batch: sum of x v over its rows, and x v itself; after: sum / 7.
struct Cut {
  Graph graph;
  Value x, w, doubled, part, product, sum, stack, result;
  Step step;

  explicit Cut(std::int64_t count = 4) {
    x = graph.input("x", f32, {graph.dim("batch", 8), 3});
    w = graph.parameter("w", {f32, {3}}, init::constant(1));
    {
      const auto phase = graph.phase(Phase::step);
      doubled = w * 2.0;
    }
    part = micro_slice(x, rows, count);
    product = part * doubled;
    const Value sums = weft::sum(exp(product) - product, {.axes = {0}});
    const auto phase = graph.phase(Phase::step);
    sum = accumulate_sum(sums);
    stack = micro_stack(product, rows, count);
    result = sum / 7.0 + doubled;
    step = fetching({result});
    step.fetches = {{"result", result}, {"stack", stack}};
    step.micro_batches = count;
  }
};

Tensor data() {
  Tensor tensor(f32, {8, 3});
  for (std::int64_t i = 0; i < 24; ++i) tensor.data<float>()[i] = static_cast<float>(i % 5) * 0.25F - 0.5F;
  return tensor;
}

}  // namespace

TEST_CASE("a run goes once over what comes before, k times over micro-batches, once over what comes after",
          "[core][runtime]") {
  const Cut cut;
  Store store(cut.graph);
  Program program(cut.step, store, {.lowering = {.disabled = {"row_regions"}}});  // exp and subtract apart
  const Plan& plan = program.plan();
  check_plan(plan);
  CHECK(plan.micro_begin == 2);  // 2, 2 w
  CHECK(plan.micro_end - plan.micro_begin == 7);
  CHECK(plan.micro_end + 3 == plan.schedule.size());
  CHECK_THAT(plan.str(), ContainsSubstring("runs 2 nodes once, 7 for each of 4 micro-batches, 3 once"));
  const Tensor x = data();
  const Result result = program.run({{"x", x}});
  for (std::int64_t j = 0; j < 3; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < 8; ++i) {
      const double product = 2 * x.at(i * 3 + j);
      sum += std::exp(product) - product;
      CHECK(result.tensor("stack").at(i * 3 + j) == Approx(product));
    }
    CHECK(result.tensor("result").at(j) == Approx(sum / 7 + 2).epsilon(1e-6));
  }
}

TEST_CASE("a step of one micro-batch has no segments", "[core][runtime]") {
  Graph graph;
  const Value y = graph.input("x", f32, {4}) * 2.0;
  const Plan made = plan(fetching({y}));
  CHECK(made.micro_begin == made.micro_end);
  CHECK_THAT(made.str(), !ContainsSubstring("micro-batches"));
}

TEST_CASE("what micro-batches read and what gathers them keeps its bytes through all of them", "[core][runtime]") {
  const Plan made = plan(Cut().step);
  const Cut cut;
  for (const Value& value : {cut.doubled, cut.sum, cut.stack}) {
    const Storage& storage = made.storage(value.ref());
    CHECK(storage.first <= made.micro_begin);
    CHECK(storage.last + 1 >= made.micro_end);
  }
  // An operand that the segment reads again is never overwritten in place, not even by its last reader.
  for (const NodeId id : made.schedule)
    if (made.step.graph.node(id).phase == Phase::micro)
      CHECK(made.storage_of.at({id, 0}) != made.storage_of.at(cut.doubled.ref()));
}

TEST_CASE("the checker of plans finds bytes that a micro-batch would lose", "[core][runtime]") {
  const Cut cut;
  const Plan sound = plan(cut.step, {.lowering = {.disabled = {"row_regions"}}});  // the products stay nodes
  CHECK_NOTHROW(check_plan(sound));
  auto storage = [&](Plan& plan, const Value& value) -> Storage& {
    return plan.storages[plan.storage_of.at(value.ref())];
  };
  SECTION("a value from before is overwritten by a micro-batch") {
    Plan broken = sound;
    broken.storage_of[cut.product.ref()] = broken.storage_of.at(cut.doubled.ref());
    CHECK_THROWS_WITH(check_plan(broken), ContainsSubstring("whose bytes hold something else"));
  }
  SECTION("a sum shares its bytes with a value of each micro-batch") {
    Plan broken = sound;
    broken.storage_of[cut.part.ref()] = broken.storage_of.at(cut.sum.ref());
    CHECK_THROWS_AS(check_plan(broken), InternalError);
  }
  SECTION("a sum that lives from its first use only may lie where a micro-batch writes") {
    Plan broken = sound;
    storage(broken, cut.sum).first = broken.micro_end - 1;
    CHECK_THROWS_WITH(check_plan(broken), ContainsSubstring("lives for a part of the micro-batches"));
  }
  SECTION("a node of a micro-batch is put after them") {
    Plan broken = sound;
    broken.micro_end -= 1;
    CHECK_THROWS_WITH(check_plan(broken), ContainsSubstring("outside of the micro-batches"));
  }
  SECTION("a node of the step is repeated") {
    Plan broken = sound;
    broken.micro_begin = 0;
    CHECK_THROWS_WITH(check_plan(broken), ContainsSubstring("with the micro-batches"));
  }
}

TEST_CASE("a state is overwritten only after the last micro-batch has read it", "[core][runtime]") {
  Cut cut;
  const auto phase = cut.graph.phase(Phase::step);
  const Value next = cut.w + (cut.result * 0.0 + 1.0);  // in place
  cut.step.updates = {{cut.w, next}};
  Store store(cut.graph);
  Program program(cut.step, store);
  check_plan(program.plan());
  const Tensor x = data();
  const Tensor first = program.run({{"x", x}}).tensor("stack").clone();
  CHECK(first.at(4) == 2 * x.at(4));
  CHECK(store.tensor("w").at(0) == 2);
  CHECK(program.run({{"x", x}}).tensor("stack").at(4) == 4 * x.at(4));
}

TEST_CASE("random rows of a micro-batch are those of the whole batch, and what is free of it is drawn once",
          "[core][runtime]") {
  Graph graph;
  const Value x = graph.input("x", f32, {graph.dim("batch", 6), 2, 5});
  Step step = fetching({dropout(x, 0.5), normal(graph, {graph.dim("batch", 6), 3}), normal(graph, {2, 3})});
  const auto whole = step.fetches;
  Step cut = step | Transform{.name = "cut", .apply = [](Step s) {
                                // As accumulate does it, by hand: the random nodes at two examples each.
                                Rebuild rebuild(s.graph, "cut");
                                std::vector<Value> outputs;
                                for (const NodeId id : s.graph.ids()) {
                                  Node node = s.graph.node(id);
                                  if (node.op->traits.source) {
                                    rebuild.keep(s.graph.node(id));
                                    continue;
                                  }
                                  const bool split = node.types[0].shape.extent(0) == 6;
                                  node.phase = split ? Phase::micro : Phase::step;
                                  node.attributes = node.attributes.with_extent(Symbol("batch"), 2);
                                  for (ValueRef& ref : node.operands)
                                    ref = micro_slice(rebuild.map(ref), rows, 3).ref();
                                  rebuild.keep_as(node);
                                  const auto phase = rebuild.to().phase(Phase::step);
                                  const Value made = rebuild.to().value(id);
                                  outputs.push_back(split ? micro_stack(made, rows, 3) : made);
                                }
                                Step result = s.over(rebuild.finish());
                                result.micro_batches = 3;
                                for (std::size_t i = 0; i < outputs.size(); ++i) result.fetches[i].value = outputs[i];
                                return result;
                              }};
  Tensor fed(f32, {6, 2, 5});
  std::fill_n(fed.data<float>(), fed.size(), 1.0F);
  Store a(graph, {.seed = 4}), b(graph, {.seed = 4});
  Program one(step, a), three(cut, b);
  for (int run = 0; run < 2; ++run) {
    const Result want = one.run({{"x", fed}}), got = three.run({{"x", fed}});
    for (const Fetch& fetch : whole) CHECK(same_bits(got.tensor(fetch.name), want.tensor(fetch.name)));
  }
}

TEST_CASE("verify refuses values that cross between micro-batches and the step", "[core][graph]") {
  Cut cut;
  CHECK_NOTHROW(verify(cut.step));
  SECTION("a node of the step reads a value of a micro-batch") {
    const auto phase = cut.graph.phase(Phase::step);
    const Value wrong = cut.product * 2.0;
    CHECK_THROWS_AS(verify(cut.step), InternalError);
    CHECK_THROWS_WITH(verify(cut.step),
                      ContainsSubstring(fmt::format("'{}' runs once and reads '{}' of each micro-batch", wrong.name(),
                                                    cut.product.name())));
  }
  SECTION("a micro-batch reads what all of them give together") {
    const Value wrong = cut.sum * 2.0;
    CHECK_THROWS_WITH(verify(cut.step), ContainsSubstring(fmt::format(
                                            "'{}' runs for each micro-batch and reads '{}', which they give together",
                                            wrong.name(), cut.sum.name())));
  }
  SECTION("a value that is the same for all is gathered") {
    const auto phase = cut.graph.phase(Phase::step);
    accumulate_sum(cut.doubled);
    CHECK_THROWS_WITH(verify(cut.step), ContainsSubstring("which is the same for all micro-batches"));
  }
  SECTION("what gathers is a node of the step") {
    accumulate_sum(cut.product);
    CHECK_THROWS_WITH(verify(cut.step), ContainsSubstring("is no node of the step"));
  }
  SECTION("a value of a micro-batch is fetched") {
    cut.step.set_fetch("part", cut.part);
    CHECK_THROWS_WITH(verify(cut.step), ContainsSubstring("the fetch 'part' is 'micro_slice' of each micro-batch"));
  }
}
