#include <weft/runtime/parallel.h>

#include <weft/graph/error.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <thread>

#include <pthread.h>

#ifdef WEFT_PARALLEL_STD
#include <condition_variable>
#include <mutex>
#include <vector>
#else
#include <omp.h>
#endif

namespace weft {
namespace {

using Body = FunctionRef<void(std::int64_t, int)>;

// A child of fork() has none of the team's threads, and waiting for them would be for ever: it works alone.
std::atomic<bool> is_forked_child{false};
void watch_fork() {
  static const int once = ::pthread_atfork(nullptr, nullptr, [] { is_forked_child.store(true); });
  static_cast<void>(once);
}

// The slot of a thread inside a body; -1 outside.
thread_local int current_slot = -1;
// What threads() says on this thread; 0: what the process has.
thread_local int current_team = 0;

struct SlotScope {
  explicit SlotScope(int slot) : before(current_slot) { current_slot = slot; }
  ~SlotScope() { current_slot = before; }
  SlotScope(const SlotScope&) = delete;
  SlotScope& operator=(const SlotScope&) = delete;
  int before;
};

// The tiles of one call: a contiguous share for each member of the team, with a cursor that whoever
// has finished its own share may also advance.
class Shares {
 public:
  Shares(std::int64_t tiles, int team) : tiles_(tiles), team_(team) {
    for (int i = 0; i < team; ++i) shares_[i].next.store(begin_of(i), std::memory_order_relaxed);
  }

  void work(Body body, int slot) {
    SlotScope scope(slot);
    ThreadsScope team(team_);
    try {
      for (int i = 0; i < team_; ++i) drain((slot + i) % team_, body, slot);
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::int64_t begin_of(int share) const {
    return tiles_ / team_ * share + std::min<std::int64_t>(share, tiles_ % team_);
  }

  void drain(int share, Body body, int slot) {
    const std::int64_t end = begin_of(share + 1);
    std::atomic<std::int64_t>& next = shares_[share].next;
    while (!failed_.load(std::memory_order_relaxed)) {
      const std::int64_t tile = next.fetch_add(1, std::memory_order_relaxed);
      if (tile >= end) return;
      body(tile, slot);
    }
  }

  struct alignas(64) Share {
    std::atomic<std::int64_t> next;
  };
  std::int64_t tiles_;
  int team_;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::array<Share, max_threads> shares_;
};

#ifdef WEFT_PARALLEL_STD

int default_threads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, max_threads); }

struct LibrariesSerial {};

// Threads that sleep until the generation changes, then each work once.
class Pool {
 public:
  explicit Pool(int team) {
    for (int slot = 1; slot < team; ++slot) workers_.emplace_back([this, slot] { serve(slot); });
  }
  ~Pool() {
    if (is_forked_child.load()) {  // its threads are the parent's
      for (std::thread& worker : workers_) worker.detach();
      return;
    }
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int team() const { return static_cast<int>(workers_.size()) + 1; }

  void run(Shares& shares, Body body) {
    {
      std::lock_guard lock(mutex_);
      shares_ = &shares;
      body_ = body;
      busy_ = workers_.size();
      ++generation_;
    }
    wake_.notify_all();
    shares.work(body, 0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve(int slot) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      lock.unlock();
      shares_->work(body_, slot);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::uint64_t generation_ = 0;
  std::size_t busy_ = 0;
  bool stop_ = false;
  Shares* shares_ = nullptr;
  Body body_;
  std::vector<std::thread> workers_;
};

// Each thread that runs programs has its own, as OpenMP does.
thread_local std::unique_ptr<Pool> pool;

void run_team(int team, Shares& shares, Body body) {
  if (!pool || pool->team() != team) {
    pool.reset();
    pool = std::make_unique<Pool>(team);
  }
  pool->run(shares, body);
}

bool inside_foreign_team() { return false; }
void set_library_threads(int) {}

#else

int default_threads() { return std::clamp(omp_get_max_threads(), 1, max_threads); }

// Outside a team the libraries ask omp_get_max_threads() how many threads to use.
struct LibrariesSerial {
  LibrariesSerial() : before(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~LibrariesSerial() { omp_set_num_threads(before); }
  LibrariesSerial(const LibrariesSerial&) = delete;
  LibrariesSerial& operator=(const LibrariesSerial&) = delete;
  int before;
};

void run_team(int team, Shares& shares, Body body) {
#pragma omp parallel num_threads(team)
  {
    // oneDNN plans its primitives for omp_get_max_threads(), which is not 1 inside a team by
    // itself; and a team of one is no team to the libraries.
    omp_set_num_threads(1);
    shares.work(body, omp_get_thread_num());
  }
}

bool inside_foreign_team() { return omp_in_parallel() != 0; }
void set_library_threads(int count) { omp_set_num_threads(count); }

#endif

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_threads()};
  return count;
}

void expect_count(int count) {
  WEFT_CHECK(count >= 0 && count <= max_threads, "the number of threads must be 0 to {}, got {}", max_threads, count);
}

}  // namespace

void set_threads(int count) {
  expect_count(count);
  if (count == 0) count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  thread_count() = std::min(count, max_threads);
  set_library_threads(thread_count());
}

int threads() { return current_team > 0 ? current_team : thread_count(); }

ThreadsScope::ThreadsScope(int count) : before_(current_team) {
  expect_count(count);
  if (count > 0) current_team = count;
}
ThreadsScope::~ThreadsScope() { current_team = before_; }

bool in_parallel() { return current_slot >= 0; }

void detail::run_tiles(std::int64_t tiles, Body body) {
  if (in_parallel()) {
    for (std::int64_t tile = 0; tile < tiles; ++tile) body(tile, current_slot);
    return;
  }
  const int team = threads();
  if (tiles == 1 || team == 1 || inside_foreign_team() || is_forked_child.load(std::memory_order_relaxed)) {
    [[maybe_unused]] LibrariesSerial serial;
    SlotScope scope(0);
    for (std::int64_t tile = 0; tile < tiles; ++tile) body(tile, 0);
    return;
  }
  watch_fork();
  Shares shares(tiles, team);
  run_team(team, shares, body);
  shares.rethrow();
}

void detail::run_alone(FunctionRef<void()> work) {
  WEFT_INVARIANT(in_parallel(), "run_alone outside of parallel_for");
  SlotScope scope(0);
  ThreadsScope team(1);
  work();
}

}  // namespace weft
