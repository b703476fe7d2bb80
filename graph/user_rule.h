// Calls functions that a user may have written (a rule of an op, the body of a transform) and turns what they throw
// into a UserError. Not in <weft/weft.h>.
#pragma once

#include <weft/graph/graph.h>

#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace weft {

/// What `call` returns; an exception that is not weft's own becomes a UserError that names the function by `what`.
template <class F>
decltype(auto) user_rule(std::string_view what, F&& call) {
  try {
    return std::forward<F>(call)();
  } catch (const UserError&) {
    throw;
  } catch (const InternalError&) {
    throw;
  } catch (const std::exception& error) {
    WEFT_FAIL(
        "{} threw {}; hint: WEFT_CHECK(condition, \"what is expected, got {{}}\", x) says it with the node and your "
        "line",
        what, error.what());
  } catch (...) {
    WEFT_FAIL("{} threw something that is no std::exception", what);
  }
}

/// The same for a rule of the node's op; each UserError then begins with the node's path and the user's line.
template <class F>
decltype(auto) user_rule(const Node& node, std::string_view what, F&& call) {
  try {
    return user_rule(what, std::forward<F>(call));
  } catch (const UserError& error) {
    WEFT_FAIL("{} ({}): [{}] {}", node.name, str(node.where), node.op->name, error.reason);
  }
}

}  // namespace weft
