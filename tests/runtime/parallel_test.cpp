#include <weft/runtime/parallel.h>

#include <support/catch.h>
#include <weft/graph/error.h>

#include <atomic>
#include <cmath>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace weft;

TEST_CASE("parallel_for runs every tile once under a slot of the team", "[core][runtime]") {
  for (int team : {1, 2, 3, 4, 8}) {
    ThreadsScope scope(team);
    for (std::int64_t tiles : {0, 1, 2, 5, 64, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tiles));
      std::atomic<bool> slots_fit = true;
      parallel_for(tiles, [&](std::int64_t tile, int slot) {
        ++runs[static_cast<std::size_t>(tile)];
        if (slot < 0 || slot >= team) slots_fit = false;
      });
      for (const auto& count : runs) REQUIRE(count == 1);
      REQUIRE(slots_fit);
    }
  }
}

TEST_CASE("two bodies that run at once never share a slot", "[core][runtime]") {
  ThreadsScope scope(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<bool> shared = false;
  parallel_for(200, [&](std::int64_t, int slot) {
    if (busy[static_cast<std::size_t>(slot)]++ != 0) shared = true;
    double x = 1;
    for (int i = 0; i < 2000; ++i) x = std::sqrt(x + i);
    if (x < 0) shared = true;
    --busy[static_cast<std::size_t>(slot)];
  });
  REQUIRE_FALSE(shared);
}

TEST_CASE("a nested parallel_for runs in order on its thread and keeps its slot", "[core][runtime]") {
  ThreadsScope scope(3);
  std::atomic<bool> kept = true;
  parallel_for(12, [&](std::int64_t, int outer) {
    if (!in_parallel()) kept = false;
    std::int64_t expected = 0;
    parallel_for(7, [&](std::int64_t tile, int inner) {
      if (inner != outer || tile != expected++) kept = false;
    });
    if (expected != 7) kept = false;
  });
  REQUIRE(kept);
  REQUIRE_FALSE(in_parallel());
}

TEST_CASE("an exception from a tile reaches the caller and the team lives on", "[core][runtime]") {
  for (int team : {1, 2, 4}) {
    ThreadsScope scope(team);
    REQUIRE_THROWS_AS(parallel_for(50,
                                   [](std::int64_t tile, int) {
                                     if (tile == 17) throw std::runtime_error("tile 17");
                                   }),
                      std::runtime_error);
    REQUIRE_FALSE(in_parallel());
    std::atomic<int> count = 0;
    parallel_for(50, [&](std::int64_t, int) { ++count; });
    REQUIRE(count == 50);
  }
}

TEST_CASE("a number of threads that cannot be is refused", "[core][runtime]") {
  REQUIRE_THROWS_AS(set_threads(-1), UserError);
  REQUIRE_THROWS_AS(set_threads(max_threads + 1), UserError);
  REQUIRE_THROWS_AS(ThreadsScope(-1), UserError);
  REQUIRE_THROWS_AS(ThreadsScope(max_threads + 1), UserError);
}

TEST_CASE("a scope sets the number of threads for its own thread and gives it back", "[core][runtime]") {
  const int process = threads();
  {
    ThreadsScope outer(3);
    CHECK(threads() == 3);
    {
      ThreadsScope inner(2), same(0);
      CHECK(threads() == 2);
    }
    CHECK(threads() == 3);
    int elsewhere = 0;
    std::thread([&] { elsewhere = threads(); }).join();
    CHECK(elsewhere == process);
    std::atomic<bool> seen = true;  // a body knows its team
    parallel_for(30, [&](std::int64_t, int) { seen = seen && threads() == 3; });
    CHECK(seen);
    parallel_for(30, [&](std::int64_t, int) { run_alone([&] { seen = seen && threads() == 1; }); });
    CHECK(seen);
  }
  CHECK(threads() == process);
}
