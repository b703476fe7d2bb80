#include <weft/graph/error.h>
#include <weft/io/atomic_file.h>

#include <support/catch.h>
#include <support/child.h>
#include <support/temporary_folder.h>

#include <csignal>
#include <set>
#include <string>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

using namespace weft;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

void write_text(const fs::path& path, std::string_view text) {
  auto fill = [&](WriteBytes write) { write(std::as_bytes(std::span(text))); };
  write_atomically(path, fill);
}

std::set<std::string> names_in(const TemporaryFolder& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path())) names.insert(entry.path().filename());
  return names;
}

unsigned mode_of(const fs::path& path) { return static_cast<unsigned>(fs::status(path).permissions()); }

std::string fault_of(const std::function<void()>& write) {
  try {
    write();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

// What expect_writable says as a user without rights. The write itself must say the same, whoever is right.
std::string nobodys_fault(const fs::path& path) {
  return test::said_by_child([&] {
    test::become_nobody();
    const std::string expected = fault_of([&] { expect_writable(path); });
    const std::string got = fault_of([&] { write_text(path, "new"); });
    return expected == got ? got : "expect_writable: '" + expected + "', write: '" + got + "'";
  });
}

}  // namespace

TEST_CASE("a failed write leaves the old file and nothing else", "[core][io]") {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  auto fail = [](WriteBytes write) {
    const std::string half = "half of the new";
    write(std::as_bytes(std::span(half)));
    throw UserError("no more");
  };
  CHECK_THROWS_WITH(write_atomically(folder / "x", fail), "no more");
  CHECK(test::bytes_of(folder / "x") == "old");
  CHECK(names_in(folder) == std::set<std::string>{"x"});
}

TEST_CASE("killed writes leave one file of a known name, and the next write takes it over", "[io]") {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  for (int i = 0; i < 3; ++i) {
    test::said_by_child([&]() -> std::string {
      auto die = [](WriteBytes write) {
        write(std::as_bytes(std::span(std::string_view("half of something long"))));
        std::raise(SIGKILL);
      };
      write_atomically(folder / "x", die);
      return "";
    });
    CHECK(test::bytes_of(folder / "x") == "old");
    CHECK(names_in(folder) == std::set<std::string>{"x", "x.weft-partial"});
  }
  SECTION("by a write") {
    write_text(folder / "x", "new");
    CHECK(test::bytes_of(folder / "x") == "new");
  }
  SECTION("by the question whether it could write") {
    expect_writable(folder / "x");
    CHECK(test::bytes_of(folder / "x") == "old");
  }
  CHECK(names_in(folder) == std::set<std::string>{"x"});
}

TEST_CASE("a file that is being written is refused to a second writer", "[core][io][errors]") {
  const TemporaryFolder folder;
  auto fill = [&](WriteBytes write) {
    for (const auto& second : {std::function<void()>([&] { write_text(folder / "x", "second"); }),
                               std::function<void()>([&] { expect_writable(folder / "x"); })})
      CHECK(fault_of(second) ==
            fmt::format("cannot write '{}': another process is writing it", (folder / "x").string()));
    write(std::as_bytes(std::span(std::string_view("first"))));
  };
  write_atomically(folder / "x", fill);
  CHECK(test::bytes_of(folder / "x") == "first");
  write_text(folder / "x", "third");
  CHECK(test::bytes_of(folder / "x") == "third");
}

TEST_CASE("a link is followed, and a device is refused", "[core][io]") {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  fs::create_symlink("x", folder / "link");
  fs::create_symlink("link", folder / "second");
  write_text(folder / "second", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(fs::is_symlink(folder / "second"));
  CHECK(test::bytes_of(folder / "x") == "new");
  CHECK_THROWS_WITH(expect_writable("/dev/null"), ContainsSubstring("not a regular file"));
  CHECK_THROWS_WITH(expect_writable(""), "'' is not the name of a file");
  CHECK_THROWS_WITH(expect_writable(folder.path()), ContainsSubstring("not a regular file"));
}

TEST_CASE("a link to a file that is not there yet makes that file", "[core][io][errors]") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "deep");
  fs::create_symlink("deep/x", folder / "link");
  write_text(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(test::bytes_of(folder / "deep/x") == "new");

  fs::create_symlink("none/x", folder / "lost");
  CHECK_THROWS_WITH(write_text(folder / "lost", "new"), ContainsSubstring("there is no folder"));
  fs::create_symlink("ring", folder / "ring");
  CHECK_THROWS_WITH(write_text(folder / "ring", "new"), ContainsSubstring("its links lead in a ring"));
  CHECK(names_in(folder) == std::set<std::string>{"deep", "link", "lost", "ring"});
}

TEST_CASE("a file keeps its mode, and a new one has that of the process", "[core][io]") {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  test::write_bytes(folder / "plain", "");
  CHECK(mode_of(folder / "x") == mode_of(folder / "plain"));
  for (const unsigned mode : {0600U, 0666U, 0640U}) {
    ::chmod((folder / "x").c_str(), mode);
    auto fill = [&](WriteBytes write) {
      CHECK((mode_of((folder / "x").string() + std::string(partial_suffix)) | mode) == mode);
      write(std::as_bytes(std::span(std::string_view("new"))));
    };
    write_atomically(folder / "x", fill);
    CHECK(mode_of(folder / "x") == mode);
  }
}

TEST_CASE("root keeps the owner of a file", "[io]") {
  if (::geteuid() != 0) return;
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  REQUIRE(::chown((folder / "x").c_str(), 1234, 2345) == 0);
  write_text(folder / "x", "new");
  struct stat now{};
  REQUIRE(::stat((folder / "x").c_str(), &now) == 0);
  CHECK(now.st_uid == 1234);
  CHECK(now.st_gid == 2345);
}

TEST_CASE("a hard link keeps the old bytes", "[core][io]") {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  fs::create_hard_link(folder / "x", folder / "kept");
  write_text(folder / "x", "new");
  CHECK(test::bytes_of(folder / "kept") == "old");
  CHECK(test::bytes_of(folder / "x") == "new");
}

TEST_CASE("what cannot be written is known before", "[core][io][errors]") {
  const TemporaryFolder folder;
  const std::string longest(255, 'x');
  CHECK_THROWS_WITH(write_text(folder / longest, ""), ContainsSubstring("File name too long"));
  CHECK_THROWS_WITH(expect_writable(folder / longest), ContainsSubstring("temporary file") &&
                                                           ContainsSubstring(longest + ".weft-partial") &&
                                                           ContainsSubstring("File name too long"));
  const std::string long_enough(255 - partial_suffix.size(), 'x');
  expect_writable(folder / long_enough);
  write_text(folder / long_enough, "new");
  CHECK(names_in(folder) == std::set<std::string>{long_enough});
}

TEST_CASE("who lacks the rights to write a file is told before", "[io][errors]") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "box");
  write_text(folder / "box/x", "old");
  const fs::path box = folder / "box";
  const auto rights = [&](unsigned of_box, unsigned of_file) {
    for (const fs::path& open : {folder.path(), box}) ::chmod(open.c_str(), 0777);
    ::chmod((box / "x").c_str(), of_file);
    ::chmod(box.c_str(), of_box);
  };
  const bool root = ::geteuid() == 0;
  rights(0777, 0666);
  CHECK(nobodys_fault(box / "x") == "");
  CHECK(test::bytes_of(box / "x") == "new");

  rights(0555, 0666);
  CHECK_THAT(nobodys_fault(box / "y"), EndsWith("y.weft-partial' cannot be opened: Permission denied"));
  rights(0666, 0666);  // no right to search
  CHECK_THAT(nobodys_fault(box / "y"), EndsWith("y.weft-partial' cannot be opened: Permission denied"));
  rights(0777, 0444);
  CHECK_THAT(nobodys_fault(box / "x"), EndsWith("the file is closed to writing: Permission denied"));
  rights(0777, 0666);
  if (!root) return;  // the file is no other user's
  REQUIRE(::chown((box / "x").c_str(), 0, 0) == 0);
  rights(01777, 0666);
  CHECK_THAT(nobodys_fault(box / "x"), EndsWith("its folder lets only the owner replace it"));
  CHECK(nobodys_fault(box / "y") == "");
  CHECK(nobodys_fault(box / "y") == "");  // its own now
}

TEST_CASE("a file system that is full or closed is told before", "[io][errors]") {
  const TemporaryFolder folder;
  const auto say = [&](unsigned long flags, const char* options) {
    return test::said_by_child([&]() -> std::string {
      if (::unshare(CLONE_NEWNS) != 0 || ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("weft", folder.path().c_str(), "tmpfs", flags, options) != 0)
        return "";  // not root, or a container that may not mount
      if (flags == 0) test::write_bytes(folder / "filler", std::string(1 << 16, 'x'));
      return fault_of([&] { expect_writable(folder / "x"); }) + " ";
    });
  };
  const std::string closed = say(MS_RDONLY, "size=16k");
  if (closed.empty()) return;
  CHECK_THAT(closed, EndsWith("cannot be opened: Read-only file system "));
  CHECK_THAT(say(0, "size=16k"), EndsWith("writing failed: No space left on device "));
}
