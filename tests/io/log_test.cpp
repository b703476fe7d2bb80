#include <weft/graph/error.h>
#include <weft/io/log.h>

#include <support/catch.h>
#include <support/child.h>
#include <support/temporary_folder.h>

#include <csignal>
#include <limits>
#include <memory>
#include <utility>

#include <sys/resource.h>

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

TEST_CASE("a line that was not written to its end is mended before more follow", "[core][io]") {
  const TemporaryFolder folder;
  const std::string whole = "{\"step\":1}\n";
  const std::string long_torn = "{\"sample\":\"" + std::string(10'000, 'x');
  const std::string zeros(3, '\0');
  for (const auto& [before, kept] : {std::pair{whole + "{\"st", whole}, std::pair{std::string("{"), std::string()},
                                     std::pair{whole + long_torn, whole}, std::pair{whole + zeros, whole},
                                     std::pair{whole + "{\"step\":2}", whole + "{\"step\":2}\n"},
                                     std::pair{whole + "2", whole + "2\n"}, std::pair{std::string(), std::string()}}) {
    test::write_bytes(folder / "log", before);
    JsonLines(folder / "log", true).write("{\"step\":3}");
    CHECK(test::bytes_of(folder / "log") == kept + "{\"step\":3}\n");
  }
}

TEST_CASE("a file that is no log is not cut", "[core][io][errors]") {
  const TemporaryFolder folder;
  test::write_bytes(folder / "poem", "The wind\nbegan to rock the grass");
  CHECK_THROWS_WITH(JsonLines(folder / "poem", true),
                    EndsWith("ends in a line that is not JSON; hint: another name for "
                             "the log"));
  CHECK(test::bytes_of(folder / "poem") == "The wind\nbegan to rock the grass");
}

TEST_CASE("a full disk is an error, and costs the log no more than the line", "[io][errors]") {
  JsonLines full("/dev/full", true);
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_AS(full.write("1"), UserError);
    CHECK_THROWS_WITH(full.write("1"), "the log '/dev/full' cannot be written: No space left on device");
  }

  // What the second line fails with, while the file may not grow beyond `room` bytes.
  const auto fault_with_room = [](const std::filesystem::path& path, rlim_t room, bool append) {
    return test::said_by_child([&]() -> std::string {
      std::signal(SIGXFSZ, SIG_IGN);
      JsonLines log(path, append);
      if (!append) log.write("{\"a\":1}");
      rlimit most{};
      ::getrlimit(RLIMIT_FSIZE, &most);
      const rlim_t before = std::exchange(most.rlim_cur, room);
      ::setrlimit(RLIMIT_FSIZE, &most);
      std::string error;
      try {
        log.write("{\"b\":2}");
      } catch (const UserError& failed) {
        error = failed.what();
      }
      most.rlim_cur = before;
      ::setrlimit(RLIMIT_FSIZE, &most);
      log.write("{\"c\":3}");
      return error;
    });
  };
  const TemporaryFolder folder;
  for (const rlim_t room : {8U, 10U})  // nothing of the second line fits, or two bytes
    for (const bool append : {false, true}) {
      test::write_bytes(folder / "log", "{\"a\":1}\n");
      CHECK_THAT(fault_with_room(folder / "log", room, append), EndsWith("cannot be written: File too large"));
      CHECK(test::bytes_of(folder / "log") == "{\"a\":1}\n{\"c\":3}\n");
    }
}

TEST_CASE("a log that cannot be read is not cut", "[io][errors]") {
  const TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
  const std::string said = test::said_by_child([&]() -> std::string {
    test::become_nobody();
    test::write_bytes(folder / "log", "{\"a\":1}\n{\"b");
    std::filesystem::permissions(folder / "log", std::filesystem::perms::owner_write);
    const JsonLines log(folder / "log", true);
    return "";
  });
  CHECK_THAT(said, EndsWith("cannot be read, to see whether its last line is whole"));
  CHECK(std::filesystem::file_size(folder / "log") == 11);
}

TEST_CASE("a program that could not print says so at its end", "[core][io][errors]") {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> full(std::fopen("/dev/full", "w"), &std::fclose);
  expect_printed(full.get());
  std::fputs("lost", full.get());
  CHECK_THROWS_WITH(expect_printed(full.get()), "standard output cannot be written: No space left on device");
  CHECK_THROWS_WITH(expect_printed(full.get(), "the report"), StartsWith("the report cannot be written"));

  const TemporaryFolder folder;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen((folder / "x").c_str(), "w"), &std::fclose);
  std::fputs("kept", file.get());
  expect_printed(file.get());
  CHECK(test::bytes_of(folder / "x") == "kept");
}

TEST_CASE("progress shows the part done, the loss, the speed and the time left", "[core][io]") {
  CHECK(progress_line(700, 2000, 1.98317, 41234, 34.2) ==
        "[========>               ]  700/2000  loss 1.9832  41.2k tokens/s  0:35 left");
  CHECK_THAT(progress_line(2000, 2000, 1.5, 12, 0), StartsWith("[========================] 2000/2000"));
  CHECK_THAT(progress_line(1, 2000, 1.5, 12, 4000), EndsWith("12 tokens/s  1:06:40 left"));
}
