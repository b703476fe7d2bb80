#include <weft/graph/error.h>
#include <weft/io/atomic_file.h>

#include <support/catch.h>
#include <support/temporary_folder.h>

#include <string>

using namespace weft;
using test::TemporaryFolder;

namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  auto fill = [&](WriteBytes write) { write(std::as_bytes(std::span(text))); };
  write_atomically(path, fill);
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
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("a link is followed, and a device is refused", "[core][io]") {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  std::filesystem::create_symlink("x", folder / "link");
  write_text(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(test::bytes_of(folder / "x") == "new");
  CHECK_THROWS_WITH(expect_writable("/dev/null"), ContainsSubstring("not a regular file"));
}
