// The gallery of errors, docs/errors.md: weft_errors tests/errors > docs/errors.md; `weft_errors tests/errors --check
// docs/errors.md` tells whether the file says what the library says.
#include "gallery.h"

#include <weft/graph/error.h>
#include <weft/io/text.h>
#include <weft/ops/all.h>

#include <algorithm>
#include <iostream>

int main(int count, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + count);
  if (given.size() != 1 && (given.size() != 3 || given[1] != "--check")) {
    std::cerr << "usage: weft_errors FOLDER [--check FILE]\n";
    return 2;
  }
  weft::register_all();
  try {
    const std::string page = weft::gallery::page(given[0]);
    if (given.size() == 1) {
      std::cout << page;
      return 0;
    }
    const std::string there = weft::read_text(given[2]);
    if (there == page) return 0;
    std::size_t at = 0;
    while (at < std::min(page.size(), there.size()) && page[at] == there[at]) ++at;
    std::cerr << given[2] << " is not what the library says, from: " << page.substr(page.rfind('\n', at) + 1, 200)
              << "\nhint: build/release/bin/weft_errors tests/errors > docs/errors.md\n";
  } catch (const weft::UserError& error) {
    std::cerr << error.what() << '\n';
  }
  return 1;
}
