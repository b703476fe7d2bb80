#include <weft/graph/error.h>
#include <weft/io/log.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

#include <limits>

using namespace weft;
using test::TemporaryFolder;

TEST_CASE("a line holds its fields in order, exactly", "[core][io]") {
  CHECK(json_line({{"step", std::int64_t{1}}, {"loss", 0.1}, {"done", true}, {"text", std::string_view("a\"\n")}}) ==
        R"({"step":1,"loss":0.1,"done":true,"text":"a\"\n"})");
  CHECK(json_line({{"loss", std::numeric_limits<double>::quiet_NaN()}}) == R"({"loss":null})");
}

TEST_CASE("lines are appended, or begun anew", "[core][io]") {
  const TemporaryFolder folder;
  JsonLines(folder / "log", false).write("1");
  JsonLines(folder / "log", true).write("2");
  CHECK(test::bytes_of(folder / "log") == "1\n2\n");
  JsonLines(folder / "log", false).write("3");
  CHECK(test::bytes_of(folder / "log") == "3\n");
  CHECK_THROWS_WITH(JsonLines(folder / "none/log", false), ContainsSubstring("cannot be opened"));
}

TEST_CASE("progress shows the part done, the loss, the speed and the time left", "[core][io]") {
  CHECK(progress_line(700, 2000, 1.98317, 41234, 34.2) ==
        "[========>               ]  700/2000  loss 1.9832  41.2k tokens/s  0:35 left");
  CHECK_THAT(progress_line(2000, 2000, 1.5, 12, 0), StartsWith("[========================] 2000/2000"));
  CHECK_THAT(progress_line(1, 2000, 1.5, 12, 4000), EndsWith("12 tokens/s  1:06:40 left"));
}
