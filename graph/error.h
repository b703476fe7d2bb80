// The two classes of errors and the macros that throw them.
//
//   WEFT_CHECK(cond, "expected {}, got {}", a, b)      -> UserError: what the caller can fix
//   WEFT_INVARIANT(cond, "...", ...)                   -> InternalError: a bug in weft
//
// A message reads `what is wrong: expected, got`, then `hint: ...` when a fix is known. The graph adds
// the node's path and the user's line. A test reads every message: tests/errors/, docs/errors.md, ./weft check errors.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace weft {

/// What the caller can fix: a wrong shape, a missing feed, a corrupt file.
struct UserError : std::runtime_error {
  explicit UserError(const std::string& what, std::string reason = "")
      : std::runtime_error(what), reason(reason.empty() ? what : std::move(reason)) {}
  std::string reason;  ///< the message without the user's line in front (graph/user_line.h), for use in another one
};

/// A bug in weft; its message holds the condition, the file and the line.
struct InternalError : std::logic_error {
  explicit InternalError(const std::string& what, std::string reason = "")
      : std::logic_error(what), reason(std::move(reason)) {}
  std::string reason;  ///< the message alone
};

namespace detail {
[[noreturn]] void throw_user_error(std::string message);
[[noreturn]] void throw_internal_error(const char* condition, const char* file, int line, const std::string& message);
}  // namespace detail
}  // namespace weft

#define WEFT_FAIL(...) ::weft::detail::throw_user_error(::fmt::format(__VA_ARGS__))

#define WEFT_CHECK(condition, ...)            \
  do {                                        \
    if (!(condition)) WEFT_FAIL(__VA_ARGS__); \
  } while (false)

#define WEFT_INVARIANT(condition, ...)                                                                  \
  do {                                                                                                  \
    if (!(condition))                                                                                   \
      ::weft::detail::throw_internal_error(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
