// parallel_for: work cut into tiles, run by a team of threads. All threads of weft are started here.
//
// Tiles are cut by SHAPE, never by the number of threads, so results have the same bits with any number. A body gets
// its tile and its slot; two bodies that run at once have different slots, so a workspace of threads() parts, one per
// slot, needs no lock.
//
//   parallel_for(rows, [&](std::int64_t row, int slot) { ... });
//
// - The body's libraries (OpenBLAS, oneDNN) run single-threaded, also where the call runs inline.
// - A call from within a body runs its tiles in order on the calling thread, under its slot.
// - An exception from a body reaches the caller; tiles not yet begun are then left out.
// - Nothing is allocated.
// - After fork() the child runs alone, on the thread that it has.
//
// OpenMP by default; with WEFT_PARALLEL_STD a pool of std::threads (ThreadSanitizer understands
// it).
#pragma once

#include <weft/runtime/function_ref.h>

#include <cstdint>

namespace weft {

/// The most threads a team may have.
inline constexpr int max_threads = 256;

/// How many threads parallel_for uses in this process: 1 to max_threads; 0 means one for each processor.
/// Not to be called while a parallel_for runs. Before the first call OMP_NUM_THREADS decides.
void set_threads(int count);
/// How many threads parallel_for uses if called here: the count of the innermost ThreadsScope of this thread, else that
/// of set_threads. Within a body: the threads of its team.
int threads();

/// While it lives, parallel_for on this thread uses `count` threads (0: as before). Nothing else changes: a Program
/// runs with the threads of its plan, whatever the process has.
class ThreadsScope {
 public:
  explicit ThreadsScope(int count);
  ~ThreadsScope();
  ThreadsScope(const ThreadsScope&) = delete;
  ThreadsScope& operator=(const ThreadsScope&) = delete;

 private:
  int before_;
};

/// True inside a body of parallel_for.
bool in_parallel();

namespace detail {
void run_tiles(std::int64_t tiles, FunctionRef<void(std::int64_t, int)> body);
void run_alone(FunctionRef<void()> body);
}  // namespace detail

/// Calls body(tile, slot) for each tile in [0, tiles), slot in [0, threads()).
/// Each thread begins with its own contiguous share and then helps the others.
template <class F>
void parallel_for(std::int64_t tiles, F&& body) {
  if (tiles > 0) detail::run_tiles(tiles, body);
}

/// Within a body: calls work(), in which slots are 0 and threads() is 1, as if the team had one thread. For kernels
/// that run inside of a tile on a workspace that is this thread's own.
template <class F>
void run_alone(F&& work) {
  detail::run_alone(work);
}

}  // namespace weft
