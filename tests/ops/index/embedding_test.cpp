#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/index/embedding.h>
#include <weft/ops/index/one_hot.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/runtime/memory/plan.h>
#include <weft/runtime/program.h>

#include <algorithm>

using namespace weft;

TEST_CASE("an id outside of the table is an error of the run that names it and its place", "[core][ops][errors]") {
  Graph graph;
  const Value weight = graph.input("weight", f32, {5, 2});
  const Value ids = graph.input("ids", i32, {2, 3});
  const Value y = embedding(weight, ids);
  const Tensor table(f32, {5, 2});
  const Tensor above = Tensor::of<std::int32_t>({2, 3}, {0, 1, 2, 3, 5, 4});
  CHECK_THROWS_WITH(evaluate(y, {{"weight", table}, {"ids", above}}),
                    ContainsSubstring("id 5 at [1, 1] is no row of the table: expected 0 to 4"));
  const Tensor below = Tensor::of<std::int32_t>({2, 3}, {0, 1, -1, 3, 0, 4});
  CHECK_THROWS_WITH(evaluate(y, {{"weight", table}, {"ids", below}}), ContainsSubstring("id -1 at [0, 2]"));
}

TEST_CASE("repeated ids add up and the padding row gets no gradient", "[core][ops]") {
  Graph graph;
  const Value weight = graph.input("weight", f64, {4, 1});
  const Value ids = graph.input("ids", i64, {5});
  const Value d = gradient(sum(embedding(weight, ids, {.padding_index = 2})), {weight}).front();
  const Tensor table(f64, {4, 1}), places = Tensor::of<std::int64_t>({5}, {3, 2, 0, 3, 3});
  const Tensor got = evaluate(d, {{"weight", table}, {"ids", places}});
  CHECK(same_bits(got, Tensor::of<double>({4, 1}, {1, 0, 0, 3})));
}

namespace {

Step fused(const Step& step) { return fuse(lower(step)); }

std::int64_t count(const Step& step, const std::string& op) {
  return std::ranges::count_if(step.graph.ids(), [&](NodeId id) { return step.graph.node(id).op->name == op; });
}

}  // namespace

TEST_CASE("a table's gradient is added to another in place, and -0.0 stays where no id is", "[core][ops][lowering]") {
  Graph graph;
  const Value x = graph.input("x", f32, {4, 1}), d_y = graph.input("d_y", f32, {3, 1}),
              ids = graph.input("ids", i64, {3});
  const Value table = graph.apply(embedding_backward_op(), {d_y, ids}, {{"rows", Shape{4}}}).front();
  const bool left = GENERATE(false, true);
  const Value total = left ? table + negate(x) : negate(x) + table;
  const Step step = fetching({total});
  const Plan planned = plan(step);
  CHECK(count(planned.step, "add") == 0);
  const ValueRef sum = planned.step.fetches.front().value.ref(), onto = planned.step.graph.node(sum.node).operands[2];
  CHECK(planned.storage_of.at(sum) == planned.storage_of.at(onto));
  Store store(step);
  Program program(step, store);
  const Tensor zeros = Tensor::of<float>({4, 1}, {0.0F, 1.0F, -2.0F, 0.0F});
  const Tensor rows = Tensor::of<float>({3, 1}, {0.5F, 0.25F, -3.0F}),
               places = Tensor::of<std::int64_t>({3}, {3, 1, 3});
  const Result result = program.run({{"x", zeros}, {"d_y", rows}, {"ids", places}});
  CHECK(same_bits(result.tensor(total), Tensor::of<float>({4, 1}, {-0.0F, -0.75F, 2.0F, -2.5F})));
}

TEST_CASE("added to another table, the padding row gets no gradient either", "[core][ops]") {
  Graph graph;
  const Value x = graph.input("x", f64, {4, 1}), d_y = graph.input("d_y", f64, {3, 1}),
              ids = graph.input("ids", i64, {3});
  const Value y = graph
                      .apply(embedding_backward_op(), {d_y, ids, x},
                             Attributes{{"rows", Shape{4}}}.with("padding_index", std::int64_t{1}))
                      .front();
  const Tensor table = Tensor::of<double>({4, 1}, {1, 2, 3, 4}), rows = Tensor::of<double>({3, 1}, {10, 20, 30});
  const Tensor got = evaluate(y, {{"x", table}, {"d_y", rows}, {"ids", Tensor::of<std::int64_t>({3}, {1, 0, 1})}});
  CHECK(same_bits(got, Tensor::of<double>({4, 1}, {21, 2, 3, 4})));
}

TEST_CASE("a table's gradient that somebody else reads, or of another shape, is added as it is",
          "[core][ops][lowering]") {
  Graph graph;
  const Value d_y = graph.input("d_y", f32, {3, 1}), ids = graph.input("ids", i64, {3});
  const Value table = graph.apply(embedding_backward_op(), {d_y, ids}, {{"rows", Shape{4}}}).front();
  CHECK(count(fused(fetching({table + graph.input("x", f32, {4, 1}), table})), "add") == 1);
  CHECK(count(fused(fetching({table + graph.input("row", f32, {1, 1})})), "add") == 1);
}

TEST_CASE("one_hot gives rows of zeros to ids that are no class", "[core][ops]") {
  Graph graph;
  const Value ids = graph.input("ids", i64, {3});
  const Tensor got = evaluate(one_hot(ids, 2), {{"ids", Tensor::of<std::int64_t>({3}, {1, -100, 0})}});
  CHECK(same_bits(got, Tensor::of<float>({3, 2}, {0, 1, 0, 0, 1, 0})));
}
