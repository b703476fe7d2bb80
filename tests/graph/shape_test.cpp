#include <weft/graph/graph.h>

#include <support/catch.h>

using namespace weft;

TEST_CASE("a named extent prints its name and its value", "[core][graph]") {
  const Dim batch = Dim::named("batch", 12);
  CHECK(batch.str() == "batch=12");
  CHECK(Dim(64).str() == "64");
  CHECK((batch * 3).str() == "batch*3=36");
  CHECK((batch * Dim::named("time", 4)).str() == "batch*time=48");
  CHECK(Shape{batch, 64}.str() == "[batch=12, 64]");
  CHECK(TensorType{bf16, {batch, 64}}.str() == "bf16[batch=12, 64]");
}

TEST_CASE("extents compare by value, whatever their names", "[core][graph]") {
  CHECK(Dim::named("batch", 12) == Dim(12));
  CHECK(Shape{Dim::named("batch", 12), 2} == Shape{12, 2});
  CHECK_FALSE(Shape{12, 2} == Shape{2, 12});
}

TEST_CASE("a product keeps its factors and division takes them away again", "[core][graph]") {
  const Dim batch = Dim::named("batch", 6), time = Dim::named("time", 5);
  const Dim rows = batch * time * 2;
  CHECK(rows.value() == 60);
  CHECK((rows / time).str() == "batch*2=12");
  CHECK((rows / batch).str() == "time*2=10");
  CHECK((rows / 2).str() == "batch*time=30");
  CHECK((rows / rows).value() == 1);
  CHECK_FALSE((rows / rows).is_named());
  CHECK((Dim(60) / 5).value() == 12);
}

TEST_CASE("a quotient that breaks a factor keeps its value and loses its names", "[core][graph]") {
  const Dim half = Dim::named("batch", 6) / 2;
  CHECK(half.value() == 3);
  CHECK_FALSE(half.is_named());
}

TEST_CASE("an inexact quotient names both extents", "[core][graph]") {
  CHECK_THROWS_WITH(Dim::named("width", 10) / 4, ContainsSubstring("width=10 is not divisible by 4"));
  CHECK_THROWS_AS(Dim(4) / 0, UserError);
}

TEST_CASE("a product of more names than fit keeps its value", "[core][graph]") {
  Dim product = 1;
  for (const char* name : {"a", "b", "c", "d", "e"}) product = product * Dim::named(name, 2);
  CHECK(product.value() == 32);
}

TEST_CASE("with() changes one name everywhere", "[core][graph]") {
  const Dim batch = Dim::named("batch", 12), time = Dim::named("time", 8);
  const Shape shape = Shape{batch * time, 3, batch}.with(Symbol("batch"), 5);
  CHECK(shape == Shape{40, 3, 5});
  CHECK(shape.str() == "[batch*time=40, 3, batch=5]");
  CHECK(Shape{12}.with(Symbol("batch"), 5) == Shape{12});
}

TEST_CASE("an extent must be named and positive", "[core][graph]") {
  CHECK_THROWS_WITH(Dim::named("batch", 0), ContainsSubstring("'batch' must be positive, got 0"));
  CHECK_THROWS_AS(Dim::named("", 3), UserError);
}

TEST_CASE("shapes broadcast from the last axis and keep names", "[core][graph]") {
  const Dim batch = Dim::named("batch", 4);
  CHECK(broadcast({batch, 1, 3}, {2, 1}).str() == "[batch=4, 2, 3]");
  CHECK(broadcast({4, 3}, {batch, 3}).str() == "[batch=4, 3]");
  CHECK(broadcast({}, {2}) == Shape{2});
  CHECK_THROWS_WITH(broadcast({2, 3}, {2, 4}), ContainsSubstring("[2, 3] and [2, 4] do not broadcast: axis -1"));
  CHECK(broadcasts_to({3}, {2, 3}));
  CHECK_FALSE(broadcasts_to({2, 3}, {3}));
  CHECK_FALSE(broadcasts_to({2}, {2, 3}));
}

TEST_CASE("axes count from both ends", "[core][graph]") {
  CHECK(normalize_axis(-1, 3) == 2);
  CHECK(normalize_axis(0, 3) == 0);
  CHECK_THROWS_WITH(normalize_axis(3, 3), ContainsSubstring("axis 3 is outside a tensor of rank 3"));
  CHECK_THROWS_AS(normalize_axis(-4, 3), UserError);
}

TEST_CASE("a type knows its elements and bytes", "[core][graph]") {
  CHECK(TensorType{bf16, {3, 5}}.bytes() == 30);
  CHECK(TensorType{i64, {}}.bytes() == 8);
  CHECK(Shape{}.count() == 1);
}

TEST_CASE("the batch is located by the order of the factors", "[core][graph]") {
  const Dim batch = Dim::named("batch", 4), time = Dim::named("time", 5);
  const Symbol symbol("batch");
  CHECK(locate_batch({3, batch}, symbol) == BatchState::split_at(1));
  CHECK(locate_batch({batch * time * 2}, symbol) == BatchState::split_at(0, 1, 10));
  CHECK(locate_batch({time * batch, 7}, symbol) == BatchState::split_at(0, 5, 1));
  CHECK(locate_batch({4, 7}, symbol) == BatchState{});
}
