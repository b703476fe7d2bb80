#include <weft/graph/glob.h>

#include <support/catch.h>

using namespace weft;
using Texts = std::vector<std::string>;

TEST_CASE("a glob's * stays within a component, ** goes across, ? is one letter", "[core][graph]") {
  CHECK(matches("decoder/*/w", "decoder/12/w"));
  CHECK_FALSE(matches("decoder/*/w", "decoder/12/attention/w"));
  CHECK(matches("decoder/**", "decoder/12/attention/w"));
  CHECK(matches("**/w", "decoder/12/w"));
  CHECK(matches("**/w", "w"));
  CHECK_FALSE(matches("**/w", "decoder/new"));
  CHECK(matches("h?ad", "head"));
  CHECK_FALSE(matches("a?b", "a/b"));
  CHECK_FALSE(matches("head", "head/w"));
  CHECK(matches("", ""));
  CHECK(matches("*a*b", "xaayab"));
}

TEST_CASE("the stars of a glob are given as long as they can be, and fill another glob", "[core][graph]") {
  CHECK(stars_of("h/*/norm_*", "h/3/norm_1") == Texts{"3", "1"});
  CHECK(stars_of("**/w", "decoder/0/w") == Texts{"decoder/0"});
  CHECK(stars_of("**/w", "w") == Texts{""});
  CHECK(stars_of("*a*", "banana") == Texts{"banan", ""});
  CHECK_FALSE(stars_of("h.*", "h.0.w", "./").has_value());
  CHECK(stars_of("h.*.w", "h.0.w", "./") == Texts{"0"});
  CHECK(count_stars("a/*/b/**") == 2);
  CHECK(fill_stars("blocks.*.norm_*", {"3", "1"}) == "blocks.3.norm_1");
  CHECK(fill_stars("**.w", {"h/0"}) == "h/0.w");
}
