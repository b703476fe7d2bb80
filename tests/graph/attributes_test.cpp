#include <weft/graph/attributes.h>

#include <support/catch.h>

using namespace weft;

TEST_CASE("attributes are sorted by name, whatever the order they are given in", "[core][graph]") {
  const Attributes a{{"p", 0.1}, {"axis", std::int64_t{1}}};
  const Attributes b{{"axis", std::int64_t{1}}, {"p", 0.1}};
  CHECK(a == b);
  CHECK(a.str() == "{axis=1, p=0.1}");
  CHECK(Attributes{}.str().empty());
}

TEST_CASE("attributes of every kind print", "[core][graph]") {
  const Attributes a{{"a", true},
                     {"b", std::string("none")},
                     {"c", std::vector<std::int64_t>{0, 2}},
                     {"d", Shape{Dim::named("batch", 3), 2}},
                     {"e", bf16}};
  CHECK(a.str() == "{a=true, b='none', c=(0, 2), d=[batch=3, 2], e=bf16}");
}

TEST_CASE("an attribute of another type, or that is not there, is said", "[core][graph]") {
  const Attributes a{{"axis", std::int64_t{1}}};
  CHECK(a.integer("axis") == 1);
  CHECK_THROWS_WITH(
      a.number("axis"),
      ContainsSubstring("there is no attribute 'axis' of the type that is read; hint: {\"axis\", 2.0} sets a number"));
  CHECK_THROWS_WITH(a.integer("axes"), ContainsSubstring("there is no attribute 'axes' of the type that is read"));
  CHECK_FALSE(a.flag("keep"));
  CHECK(a.get_or<std::int64_t>("from", 7) == 7);
}

TEST_CASE("with() copies and set() replaces", "[core][graph]") {
  const Attributes a{{"axis", std::int64_t{1}}};
  const Attributes b = a.with("axis", std::int64_t{2});
  CHECK(a.integer("axis") == 1);
  CHECK(b.integer("axis") == 2);
  CHECK_FALSE(a == b);
}

TEST_CASE("constants are equal when their bytes are", "[core][graph]") {
  const Constant one{{f32, {1}}, std::vector<std::byte>(4, std::byte{1})};
  const Constant two{{f32, {1}}, std::vector<std::byte>(4, std::byte{2})};
  const Attributes a{{"value", std::make_shared<const Constant>(one)}};
  CHECK(a == Attributes{{"value", std::make_shared<const Constant>(one)}});
  CHECK_FALSE(a == Attributes{{"value", std::make_shared<const Constant>(two)}});
}

TEST_CASE("with_extent() reaches every shape among the attributes", "[core][graph]") {
  const Attributes a{{"shape", Shape{Dim::named("batch", 3), 3}}, {"axis", std::int64_t{3}}};
  const Attributes b = a.with_extent(Symbol("batch"), 5);
  CHECK(b.shape("shape") == Shape{5, 3});
  CHECK(b.integer("axis") == 3);
}
