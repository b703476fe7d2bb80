#include <weft/graph/error.h>
#include <weft/io/locked_file.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr int most_links = 40;  // as Linux

// A rename needs rights on the folder alone: nothing but this keeps a file that its owner closed, or of somebody else
// in a folder such as /tmp.
void expect_replaceable(const fs::path& path, const fs::path& target, const fs::path& folder) {
  struct stat old{};
  if (::stat(path.c_str(), &old) != 0) return;  // sees through /dev/stdout too, which has no name to follow
  WEFT_CHECK(S_ISREG(old.st_mode), "cannot write '{}': it is there and is not a regular file", path.string());
  if (::faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0)
    WEFT_FAIL("cannot write '{}': the file is closed to writing: {}", path.string(), std::strerror(errno));
  struct stat around{};
  const uid_t user = ::geteuid();
  const bool kept = ::stat(folder.c_str(), &around) == 0 && (around.st_mode & S_ISVTX) != 0 && user != 0 &&
                    user != old.st_uid && user != around.st_uid;
  WEFT_CHECK(!kept, "cannot write '{}': the file is another user's, and its folder lets only the owner replace it",
             path.string());
}

bool is_named(int file, const std::string& name) {
  struct stat opened{}, named{};
  return ::fstat(file, &opened) == 0 && ::lstat(name.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

int open_locked(const std::string& name, mode_t mode) {
  constexpr int most_tries = 100;
  for (int i = 0; i < most_tries; ++i) {
    const int file = ::open(name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file < 0) return -1;
    const bool busy = ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!busy && is_named(file, name)) return file;
    ::close(file);
    if (busy) break;  // else its holder has renamed or removed it since it was opened
  }
  errno = EWOULDBLOCK;
  return -1;
}

}  // namespace

fs::path file_to_write(const fs::path& path) {
  std::error_code error;
  fs::path target = path;
  for (int links = 0; fs::is_symlink(target, error); ++links) {
    WEFT_CHECK(links < most_links, "cannot write '{}': its links lead in a ring", path.string());
    target = target.parent_path() / fs::read_symlink(target, error);
  }
  WEFT_CHECK(target.has_filename(), "'{}' is not the name of a file", path.string());
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  expect_replaceable(path, target, folder);
  WEFT_CHECK(fs::is_directory(folder, error) || error.value() == EACCES, "cannot write '{}': there is no folder '{}'",
             path.string(), folder.string());
  return target;
}

LockedFile::LockedFile(std::string name, mode_t mode) : name_(std::move(name)), file_(open_locked(name_, mode)) {}

LockedFile::~LockedFile() {
  if (file_ < 0) return;
  if (!renamed_) ::unlink(name_.c_str());
  ::close(file_);
}

bool LockedFile::rename(const fs::path& target) { return renamed_ = ::rename(name_.c_str(), target.c_str()) == 0; }

}  // namespace weft
