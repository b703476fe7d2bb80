// Who uses something while a run goes on: many who read, or one who writes. Nobody waits: what does not go together is
// refused. Private to runtime/.
#pragma once

#include <atomic>

namespace weft {

/// Free, read by so many, or written by one. The two functions say whether they succeeded.
class RunGuard {
 public:
  bool enter(bool writes) {
    int seen = users_.load(std::memory_order_relaxed);
    do {
      if (seen == writer || (writes && seen != 0)) return false;
    } while (!users_.compare_exchange_weak(seen, writes ? writer : seen + 1, std::memory_order_acquire));
    return true;
  }
  void leave() {
    if (users_.load(std::memory_order_relaxed) == writer) users_.store(0, std::memory_order_release);
    else users_.fetch_sub(1, std::memory_order_release);
  }

 private:
  static constexpr int writer = -1;
  std::atomic<int> users_{0};
};

/// Holds a guard that was entered.
class RunGuardHold {
 public:
  explicit RunGuardHold(RunGuard& guard) : guard_(&guard) {}
  RunGuardHold(RunGuardHold&& other) noexcept : guard_(other.guard_) { other.guard_ = nullptr; }
  RunGuardHold& operator=(RunGuardHold&&) = delete;
  ~RunGuardHold() {
    if (guard_ != nullptr) guard_->leave();
  }

 private:
  RunGuard* guard_;
};

}  // namespace weft
