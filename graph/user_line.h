// The user's line in the messages of functions that have no node to name: options of optimizers and schedules.
// Not in <weft/weft.h>.
#pragma once

#include <source_location>

namespace weft {

/// While it lives, a UserError of this thread begins with the line: "train.cpp:12: adamw needs betas in [0, 1), got 2
/// and 0.9". Of several the first says it: the user called that one.
class UserLine {
 public:
  explicit UserLine(std::source_location where);
  ~UserLine();
  UserLine(const UserLine&) = delete;
  UserLine& operator=(const UserLine&) = delete;
};

}  // namespace weft
