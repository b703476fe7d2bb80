#include <weft/graph/error.h>
#include <weft/io/atomic_file.h>
#include <weft/io/locked_file.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr mode_t rights = 0777;

// The mode and the owner of the file that is to be replaced, or those of a new one.
class Owner {
 public:
  explicit Owner(const fs::path& target) : replaces_(::stat(target.c_str(), &old_) == 0) {}

  mode_t mode() const { return replaces_ ? old_.st_mode & rights : 0666; }
  bool give_to(int file) const {
    if (!replaces_) return true;
    // Root may give a file away, its owner may choose among its groups; who may do neither owns what they write.
    if (::fchown(file, old_.st_uid, old_.st_gid) != 0 && ::fchown(file, static_cast<uid_t>(-1), old_.st_gid) != 0)
      errno = 0;
    return ::fchmod(file, mode()) == 0;
  }

 private:
  struct stat old_{};
  bool replaces_;
};

class Temporary {
 public:
  explicit Temporary(const fs::path& path)
      : path_(path),
        target_(file_to_write(path)),
        owner_(target_),
        // Of the old file's mode from the start: no moment in which others can open what they may not read.
        file_(target_.string() + std::string(partial_suffix), owner_.mode()) {
    if (file_.file() < 0 && errno == EWOULDBLOCK)
      WEFT_FAIL("cannot write '{}': another process is writing it", path_.string());
    if (file_.file() < 0) fail(fmt::format("its temporary file '{}' cannot be opened", file_.name()));
    if (::ftruncate(file_.file(), 0) != 0 || !owner_.give_to(file_.file()))
      fail(fmt::format("its temporary file '{}' cannot be prepared", file_.name()));
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_.file(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("writing failed");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  void finish() {
    if (::fsync(file_.file()) != 0) fail("fsync failed");
    if (!file_.rename(target_)) fail("renaming failed");
    // The rename itself is durable once the folder is; some file systems refuse this, and then there is no more to do.
    const fs::path folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    if (const int at = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); at >= 0) {
      ::fsync(at);
      ::close(at);
    }
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    WEFT_FAIL("cannot write '{}': {}: {}", path_.string(), what, std::strerror(errno));
  }

  fs::path path_, target_;
  Owner owner_;
  LockedFile file_;
};

}  // namespace

void expect_writable(const fs::path& path) {
  Temporary file(path);
  file.write(std::as_bytes(std::span(&partial_suffix.front(), 1)));  // a full disk takes a file, but no byte
}

void write_atomically(const fs::path& path, FunctionRef<void(WriteBytes)> fill) {
  Temporary file(path);
  auto write = [&file](std::span<const std::byte> bytes) { file.write(bytes); };
  fill(write);
  file.finish();
}

}  // namespace weft
