#include <weft/graph/glob.h>

#include <algorithm>

namespace weft {
namespace {

std::size_t star_at(std::string_view glob) { return glob.starts_with("**") ? 2 : glob.starts_with("*") ? 1 : 0; }

// Of the stars before `glob` there are `texts`; on success there are all, else as many as before.
bool match(std::string_view glob, std::string_view path, std::string_view ends, std::vector<std::string>& texts) {
  if (const std::size_t star = star_at(glob); star > 0) {
    const std::string_view rest = glob.substr(star);
    const std::size_t end = star == 2 ? path.size() : std::min(path.find_first_of(ends), path.size());
    for (std::size_t length = end + 1; length-- > 0;) {
      texts.emplace_back(path.substr(0, length));
      if (match(rest, path.substr(length), ends, texts)) return true;
      texts.pop_back();
    }
    if (star == 1 || !rest.starts_with("/")) return false;
    texts.emplace_back();
    if (match(rest.substr(1), path, ends, texts)) return true;
    texts.pop_back();
    return false;
  }
  if (glob.empty() || path.empty()) return glob.empty() && path.empty();
  const bool one =
      glob.front() == '?' ? ends.find(path.front()) == std::string_view::npos : glob.front() == path.front();
  return one && match(glob.substr(1), path.substr(1), ends, texts);
}

}  // namespace

std::optional<std::vector<std::string>> stars_of(std::string_view glob, std::string_view path, std::string_view ends) {
  std::vector<std::string> texts;
  if (!match(glob, path, ends, texts)) return std::nullopt;
  return texts;
}

bool matches(std::string_view glob, std::string_view path) { return stars_of(glob, path).has_value(); }

std::size_t count_stars(std::string_view glob) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < glob.size(); i += std::max<std::size_t>(star_at(glob.substr(i)), 1))
    count += star_at(glob.substr(i)) > 0 ? 1 : 0;
  return count;
}

std::string fill_stars(std::string_view glob, const std::vector<std::string>& texts) {
  std::string filled;
  std::size_t next = 0;
  for (std::size_t i = 0; i < glob.size();) {
    const std::size_t star = star_at(glob.substr(i));
    if (star > 0) filled += texts.at(next++);
    else filled += glob[i];
    i += std::max<std::size_t>(star, 1);
  }
  return filled;
}

}  // namespace weft
