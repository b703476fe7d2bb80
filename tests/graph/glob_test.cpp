#include <weft/graph/glob.h>

#include <support/catch.h>

#include <algorithm>
#include <random>

using namespace weft;
using Texts = std::vector<std::string>;

namespace {

std::size_t star_at(std::string_view glob) { return glob.starts_with("**") ? 2 : glob.starts_with("*") ? 1 : 0; }

// The definition: each star tries its texts from the longest on, one after another.
bool plain(std::string_view glob, std::string_view path, std::string_view ends, Texts& texts) {
  if (const std::size_t star = star_at(glob); star > 0) {
    const std::string_view rest = glob.substr(star);
    const std::size_t end = star == 2 ? path.size() : std::min(path.find_first_of(ends), path.size());
    for (std::size_t length = end + 1; length-- > 0;) {
      texts.emplace_back(path.substr(0, length));
      if (plain(rest, path.substr(length), ends, texts)) return true;
      texts.pop_back();
    }
    if (star == 1 || !rest.starts_with("/")) return false;
    texts.emplace_back();
    if (plain(rest.substr(1), path, ends, texts)) return true;
    texts.pop_back();
    return false;
  }
  if (glob.empty() || path.empty()) return glob.empty() && path.empty();
  const bool one =
      glob.front() == '?' ? ends.find(path.front()) == std::string_view::npos : glob.front() == path.front();
  return one && plain(glob.substr(1), path.substr(1), ends, texts);
}

}  // namespace

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

TEST_CASE("a glob matches what its plain definition matches, with the same texts", "[core][graph]") {
  std::mt19937 random(3);
  const auto text_of = [&](std::string_view letters, std::size_t most) {
    std::string text(random() % (most + 1), ' ');
    std::ranges::generate(text, [&] { return letters[random() % letters.size()]; });
    return text;
  };
  int matched = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string glob = text_of("**/?a.", 6);
    const std::string path = text_of("/aab.", 7);
    const std::string ends = i % 2 == 0 ? "/" : "./";
    Texts texts;
    const auto expected = plain(glob, path, ends, texts) ? std::optional(texts) : std::nullopt;
    if (stars_of(glob, path, ends) != expected) FAIL_CHECK(glob + " and " + path);
    matched += expected ? 1 : 0;
  }
  CHECK(matched > 2000);
}

// To try every split of the path among the stars would take longer than the suite may.
TEST_CASE("many stars cost no more than a longer glob", "[core][graph]") {
  std::string glob;
  std::string deep;
  for (int i = 0; i < 40; ++i) {
    glob += "a*";
    deep += "**/";
  }
  const std::string path(1000, 'a');
  CHECK_FALSE(matches(glob + "b*c", path + "c"));
  CHECK_FALSE(matches(deep + "b*", path));
  CHECK(matches(glob + "b*c", path + "bc"));
}
