#include <weft/graph/error.h>
#include <weft/io/atomic_file.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, std::string_view what) {
  WEFT_FAIL("cannot write '{}': {}: {}", path.string(), what, std::strerror(errno));
}

// The temporary file: removed unless it was renamed.
class Temporary {
 public:
  explicit Temporary(const fs::path& path) : target_(path), name_(path.string() + ".XXXXXX") {
    file_ = ::mkstemp(name_.data());
    if (file_ < 0) fail(target_, "no temporary file can be made beside it");
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ::fchmod(file_, 0666 & ~mask);  // mkstemp's 0600 would hide the result from the user's group
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (file_ >= 0) ::close(file_);
    if (!renamed_) ::unlink(name_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(target_, "writing failed");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  void finish() {
    if (::fsync(file_) != 0) fail(target_, "fsync failed");
    const int file = file_;
    file_ = -1;
    if (::close(file) != 0) fail(target_, "closing failed");
    if (::rename(name_.c_str(), target_.c_str()) != 0) fail(target_, "renaming failed");
    renamed_ = true;
    // The rename itself is durable once the folder is; some file systems refuse this, and then there is no more to do.
    const fs::path folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    if (const int at = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY); at >= 0) {
      ::fsync(at);
      ::close(at);
    }
  }

 private:
  fs::path target_;
  std::string name_;
  int file_ = -1;
  bool renamed_ = false;
};

fs::path resolved(const fs::path& path) {
  std::error_code error;
  return fs::is_symlink(path, error) ? fs::weakly_canonical(path) : path;
}

}  // namespace

void expect_writable(const fs::path& path) {
  const fs::path target = resolved(path);
  WEFT_CHECK(target.has_filename(), "'{}' is not the name of a file", path.string());
  std::error_code error;
  WEFT_CHECK(!fs::exists(target, error) || fs::is_regular_file(target, error),
             "cannot write '{}': it is there and is not a regular file", path.string());
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  WEFT_CHECK(fs::is_directory(folder, error), "cannot write '{}': there is no folder '{}'", path.string(),
             folder.string());
  if (::access(folder.c_str(), W_OK) != 0) fail(path, "its folder is closed to writing");
}

void write_atomically(const fs::path& path, FunctionRef<void(WriteBytes)> fill) {
  expect_writable(path);
  Temporary file(resolved(path));
  auto write = [&file](std::span<const std::byte> bytes) { file.write(bytes); };
  fill(write);
  file.finish();
}

}  // namespace weft
