#include <weft/graph/error.h>
#include <weft/io/run_lock.h>

#include <support/catch.h>
#include <support/child.h>
#include <support/temporary_folder.h>

#include <csignal>
#include <optional>

using namespace weft;
using test::TemporaryFolder;

TEST_CASE("a save is one run's at a time", "[core][io][errors]") {
  const TemporaryFolder folder;
  const std::string save = folder / "save";
  std::filesystem::create_symlink("save", folder / "link");
  {
    std::optional<RunLock> lock(save);
    RunLock moved = std::move(*lock);
    lock.reset();
    const std::string held = fmt::format("' is in use: process {} on ", ::getpid());
    const std::string hint = " saves to it; hint: wait for it, end it, or save under another name";
    CHECK_THROWS_WITH(RunLock(save), StartsWith("'" + save + held) && EndsWith(hint));
    CHECK_THROWS_WITH(RunLock(folder / "link"), ContainsSubstring(held));
    const RunLock other(folder / "other");
  }
  CHECK_FALSE(std::filesystem::exists(save + ".weft-lock"));
  const RunLock again(save);
}

TEST_CASE("the lock of another process is seen, and ends when that is killed", "[io][errors]") {
  const TemporaryFolder folder;
  const std::string save = folder / "save";
  {
    const RunLock lock(save);
    CHECK_THAT(test::said_by_child([&]() -> std::string {
                 const RunLock second(save);
                 return "";
               }),
               ContainsSubstring(fmt::format("is in use: process {} on", ::getpid())));
  }
  test::said_by_child([&]() -> std::string {
    const RunLock lock(save);
    std::raise(SIGKILL);
    return "";
  });
  CHECK(std::filesystem::exists(save + ".weft-lock"));
  {
    const RunLock lock(save);
  }
  CHECK_FALSE(std::filesystem::exists(save + ".weft-lock"));
}

TEST_CASE("a lock that cannot be made says why", "[core][io][errors]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(RunLock(folder / "none/save"), ContainsSubstring("there is no folder"));
  CHECK_THROWS_WITH(RunLock(folder.path()), ContainsSubstring("not a regular file"));
  CHECK_THROWS_WITH(RunLock(folder / std::string(255, 'x')),
                    ContainsSubstring("cannot be locked") && EndsWith("File name too long"));
}
