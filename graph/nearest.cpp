#include <weft/graph/nearest.h>

#include <algorithm>

namespace weft {
namespace {

// Insertions, deletions and replacements that make b of a.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t next = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = row[j];
      row[j] = next;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view name, std::vector<std::string> names, std::size_t count) {
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return distance(name, a) < distance(name, b); });
  std::string text;
  for (std::size_t i = 0; i < std::min(count, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return text;
}

}  // namespace weft
