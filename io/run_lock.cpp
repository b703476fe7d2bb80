#include <weft/graph/error.h>
#include <weft/io/locked_file.h>
#include <weft/io/run_lock.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <unistd.h>

namespace weft {
namespace {

// Told to whoever finds the lock held, maybe on another machine that shares the folder.
std::string this_process() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return fmt::format("process {} on {}", ::getpid(), host.data());
}

std::string holder(const std::string& name) {
  std::ifstream in(name);
  std::string text;
  return std::getline(in, text) ? text : "another process";
}

}  // namespace

RunLock::RunLock(const std::string& path)
    : file_(std::make_unique<LockedFile>(file_to_write(path).string() + ".weft-lock", 0666)) {
  if (file_->file() < 0 && errno == EWOULDBLOCK)
    WEFT_FAIL("'{}' is in use: {} saves to it; hint: wait for it, end it, or save under another name", path,
              holder(file_->name()));
  WEFT_CHECK(file_->file() >= 0, "'{}' cannot be locked: '{}' cannot be opened: {}", path, file_->name(),
             std::strerror(errno));
  const std::string text = this_process() + '\n';
  const bool written = ::ftruncate(file_->file(), 0) == 0 &&
                       ::write(file_->file(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  WEFT_CHECK(written, "'{}' cannot be locked: '{}' cannot be written: {}", path, file_->name(), std::strerror(errno));
}

RunLock::RunLock(RunLock&&) noexcept = default;
RunLock& RunLock::operator=(RunLock&&) noexcept = default;
RunLock::~RunLock() = default;

}  // namespace weft
