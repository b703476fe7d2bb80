// The user's line: the source line at which the user called into weft, for messages and nodes. Functions that make a
// transform, an optimizer or a schedule open it first; operator| opens a transform's again while it is applied.
#pragma once

#include <optional>
#include <source_location>

namespace weft {

/// While it lives, on this thread:
/// - a UserError begins with the line: "train.cpp:12: adamw needs betas in [0, 1), got 2 and 0.9";
/// - nodes report it as theirs, unless they are made from another node (Graph::made_by) and report that one's;
/// - a Transform remembers it (Transform::called).
/// If several are open, the outermost counts: it is the user's call.
class UserLine {
 public:
  explicit UserLine(std::source_location where);
  ~UserLine();
  UserLine(const UserLine&) = delete;
  UserLine& operator=(const UserLine&) = delete;

  static std::optional<std::source_location> current();
  static std::source_location current_or(std::source_location own) { return current().value_or(own); }
};

}  // namespace weft
