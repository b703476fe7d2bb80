#include <weft/runtime/bounded_cache.h>

#include <support/catch.h>

#include <stdexcept>
#include <string>

using namespace weft;

TEST_CASE("a bounded cache makes a value once and forgets the one that was asked for longest ago", "[core][runtime]") {
  BoundedCache<int, std::string> cache(2);
  int made = 0;
  const auto get = [&](int key) {
    return cache.get(key, [&] {
      ++made;
      return std::to_string(key);
    });
  };
  CHECK(get(1) == "1");
  CHECK(get(2) == "2");
  CHECK(get(1) == "1");
  CHECK(made == 2);
  CHECK(get(3) == "3");  // 2 goes: 1 was asked for since
  CHECK(cache.size() == 2);
  CHECK(get(1) == "1");
  CHECK(made == 3);
  CHECK(get(2) == "2");
  CHECK(made == 4);
  CHECK(cache.size() == 2);
}

TEST_CASE("a bounded cache is as it was where a value cannot be made", "[core][runtime]") {
  BoundedCache<int, int> cache(1);
  CHECK(cache.get(1, [] { return 10; }) == 10);
  CHECK_THROWS_AS(cache.get(2, []() -> int { throw std::runtime_error("no"); }), std::runtime_error);
  CHECK(cache.size() == 1);
  CHECK(cache.get(1, [] { return 11; }) == 10);
}
