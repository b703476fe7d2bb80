#include <support/catch.h>

#include <weft/autodiff/gradient.h>
#include <weft/ops/embedding.h>
#include <weft/ops/one_hot.h>
#include <weft/ops/reduce.h>
#include <weft/runtime/program.h>

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

TEST_CASE("one_hot gives rows of zeros to ids that are no class", "[core][ops]") {
  Graph graph;
  const Value ids = graph.input("ids", i64, {3});
  const Tensor got = evaluate(one_hot(ids, 2), {{"ids", Tensor::of<std::int64_t>({3}, {1, -100, 0})}});
  CHECK(same_bits(got, Tensor::of<float>({3, 2}, {0, 1, 0, 0, 1, 0})));
}
