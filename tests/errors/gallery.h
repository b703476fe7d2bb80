// The gallery of errors that a user can cause: code that provokes each, and what the message must say. The same entries
// are the page docs/errors.md (weft_errors.cpp: the code shown is cut from the sources, the message is what it threw)
// and tests (errors_test.cpp).
#pragma once

#include <string>
#include <vector>

namespace weft::gallery {

/// `run` throws a UserError whose message holds every part of `says`.
struct Entry {
  std::string title;
  std::vector<std::string> says;
  void (*run)();
};

struct Group {
  std::string title;
  std::string file;  ///< in tests/errors: where its entries stand, each title in a line of its own
  std::vector<Entry> entries;
};

Group shape_errors();
Group graph_errors();
Group attention_errors();
Group gradient_errors();
Group order_errors();
Group setting_errors();
Group program_errors();
Group store_errors();
Group file_errors();
Group model_errors();
Group own_op_errors();
std::vector<Group> all_groups();

/// The message of the UserError that the entry provokes; "" if it throws none.
std::string message_of(const Entry& entry);

/// The entry's code without its indentation, as it stands in `source` (the text of the group's file), and the line of
/// its first line. An empty code: the file has no such entry, or its form is another.
struct Code {
  std::string text;
  unsigned first = 0, last = 0;
};
Code code_of(const Entry& entry, const std::string& source);

/// docs/errors.md, from the sources in `folder`. Lines are those of the code shown: example.cpp:3.
std::string page(const std::string& folder);

}  // namespace weft::gallery
