// Every entry of the gallery throws a UserError that says what it must, and that is fit to be read.
#include <errors/gallery.h>
#include <support/catch.h>

#include <weft/ops/all.h>

#include <set>

using namespace weft;

TEST_CASE("each error of the gallery says what is wrong, where, and what was expected and got", "[core][errors]") {
  register_all();
  for (const gallery::Group& group : gallery::all_groups()) {
    CHECK_FALSE(group.entries.empty());
    for (const gallery::Entry& entry : group.entries) {
      const std::string message = gallery::message_of(entry);
      INFO(group.title << ": " << entry.title << "\n" << message);
      CHECK_FALSE(message.empty());
      CHECK_FALSE(entry.says.empty());
      for (const std::string& part : entry.says) CHECK_THAT(message, ContainsSubstring(part));
      CHECK(message.find("internal error") == std::string::npos);
      CHECK(message.find("{}") == std::string::npos);       // a format that was not filled in
      CHECK(message.find("/tests/") == std::string::npos);  // a path of the machine it was built on
    }
  }
}

TEST_CASE("the gallery shows at least sixty kinds of errors, no title twice", "[core][errors]") {
  std::set<std::string> titles;
  std::size_t count = 0;
  for (const gallery::Group& group : gallery::all_groups())
    for (const gallery::Entry& entry : group.entries) {
      titles.insert(entry.title);
      ++count;
    }
  CHECK(count >= 60);
  CHECK(titles.size() == count);
}

TEST_CASE("the code of an entry is cut from its source, with its lines", "[core][errors]") {
  const gallery::Entry entry{"two", {"x"}, nullptr};
  const std::string source =
      "{\"one\", {\"a\"}, [] {\n   f();\n }},\n{\"two\",\n  {\"x\"}, [] {\n    g();\n\n      h();\n  }},\n";
  const gallery::Code code = gallery::code_of(entry, source);
  CHECK(code.text == "g();\n\n  h();\n");
  CHECK(code.first == 6);
  CHECK(code.last == 8);
  const gallery::Code line = gallery::code_of({"three", {}, nullptr}, "{\"three\",\n {\"x\"},\n [] { f({}); }},\n");
  CHECK(line.text == "f({});\n");
  CHECK((line.first == 3 && line.last == 3));
  CHECK(gallery::code_of({"three", {}, nullptr}, source).text.empty());
}

TEST_CASE("all problems of a graph are told at once, and none of what depends on them", "[core][errors]") {
  const gallery::Group group = gallery::graph_errors();
  for (const gallery::Entry& entry : group.entries) {
    if (entry.title != "Several mistakes are told at once") continue;
    const std::string message = gallery::message_of(entry);
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = message.find("graph_errors.cpp:", at)) != std::string::npos; ++at) ++lines;
    CHECK(message.starts_with("the graph has 3 problems"));
    CHECK(lines == 3 + 6);  // each with its line and the lines of its two operands
    return;
  }
  FAIL("the gallery has no such entry");
}
