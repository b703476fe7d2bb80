// A file beside the one that it guards, held by one process at a time. Private to io/.
#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

namespace weft {

/// The file that a write to `path` replaces or makes: symbolic links are followed, also to a file that is not there
/// yet. UserError: the name of no file, a folder, a device, a ring of links, a file that is closed to writing, no
/// folder.
std::filesystem::path file_to_write(const std::filesystem::path& path);

/// Makes the file or takes over what a killed process left under its name, and locks it (flock): the lock ends with the
/// process, however that ends. Where the file system has no locks, nothing is guarded.
class LockedFile {
 public:
  LockedFile(std::string name, mode_t mode);
  /// Removes the file, unless it was renamed, and then unlocks.
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  /// The open file, or -1 with errno; EWOULDBLOCK: another process holds it.
  int file() const { return file_; }
  const std::string& name() const { return name_; }
  /// False with errno.
  bool rename(const std::filesystem::path& target);

 private:
  std::string name_;
  int file_ = -1;
  bool renamed_ = false;
};

}  // namespace weft
