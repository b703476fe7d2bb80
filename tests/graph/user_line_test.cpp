// graph/user_line.h: whose line a message begins with.
#include <weft/graph/graph.h>
#include <weft/graph/user_line.h>

#include <support/catch.h>

#include <string>

using namespace weft;

namespace {

std::string refused() {
  try {
    WEFT_CHECK(false, "{} is refused", "it");
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a message begins with the line of the call that the user wrote, and of no call that is over",
          "[core][graph][errors]") {
  CHECK(refused() == "it is refused");
  {
    const auto users = std::source_location::current();
    const UserLine outer(users);
    const std::string expected = str(users) + ": it is refused";
    CHECK(refused() == expected);
    {
      const UserLine inner(std::source_location::current());  // of the library, which calls itself
      CHECK(refused() == expected);
    }
    CHECK(refused() == expected);
  }
  CHECK(refused() == "it is refused");
}
