// Keeps two training runs from writing the same save.
#pragma once

#include <memory>
#include <string>

namespace weft {

class LockedFile;

/// Held for the life of a run on the file that it saves to. The lock is on a file beside it, PATH.weft-lock, which is
/// removed with the RunLock. It ends with the process, however that ends: what a killed one leaves is taken over by the
/// next.
///
///   const RunLock lock("run.safetensors");
class RunLock {
 public:
  /// UserError: another RunLock holds `path`, in this process or another one, which the message names; or the file
  /// cannot be made beside `path`.
  explicit RunLock(const std::string& path);
  RunLock(RunLock&&) noexcept;
  RunLock& operator=(RunLock&&) noexcept;
  ~RunLock();

 private:
  std::unique_ptr<LockedFile> file_;
};

}  // namespace weft
