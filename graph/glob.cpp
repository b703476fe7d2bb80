#include <weft/graph/glob.h>

#include <algorithm>

namespace weft {
namespace {

std::size_t star_at(std::string_view glob) { return glob.starts_with("**") ? 2 : glob.starts_with("*") ? 1 : 0; }

enum class Kind { letter, one, star, stars };
struct Token {
  Kind kind;
  char letter = 0;
};

std::vector<Token> tokens_of(std::string_view glob) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < glob.size();) {
    const std::size_t star = star_at(glob.substr(i));
    if (star > 0) tokens.push_back({star == 2 ? Kind::stars : Kind::star});
    else tokens.push_back({glob[i] == '?' ? Kind::one : Kind::letter, glob[i]});
    i += std::max<std::size_t>(star, 1);
  }
  return tokens;
}

// What stands before the first star and behind the last one: most paths are told apart by that, without a table.
bool ends_fit(std::string_view glob, std::string_view path) {
  const std::size_t first = std::min(glob.find_first_of("*?"), glob.size());
  if (first == glob.size()) return glob == path;
  std::string_view tail = glob.substr(glob.find_last_of("*?") + 1);
  if (tail.starts_with('/')) tail.remove_prefix(1);  // of **/, which may stand for nothing
  return path.starts_with(glob.substr(0, first)) && path.ends_with(tail);
}

// Which tokens, from each on, match the path from each place on. Filled from the back, a cell in constant time: however
// many stars a glob has, it takes no more than glob times path.
class Matches {
 public:
  Matches(const std::vector<Token>& tokens, std::string_view path, std::string_view ends)
      : width_(path.size() + 1), cells_((tokens.size() + 1) * width_) {
    cells_.back() = true;
    for (std::size_t t = tokens.size(); t-- > 0;) {
      const Token& token = tokens[t];
      bool star = false;  // whether one matches that may go on from the place behind
      for (std::size_t at = width_; at-- > 0;) {
        const bool more = at < path.size();
        const bool within = more && ends.find(path[at]) == std::string_view::npos;
        if (token.kind == Kind::letter) {
          cell(t, at) = more && path[at] == token.letter && holds(t + 1, at + 1);
        } else if (token.kind == Kind::one) {
          cell(t, at) = within && holds(t + 1, at + 1);
        } else {
          star = holds(t + 1, at) || (star && (token.kind == Kind::stars ? more : within));
          cell(t, at) = star || (may_vanish(tokens, t) && holds(t + 2, at));
        }
      }
    }
  }
  bool holds(std::size_t token, std::size_t at) const { return cells_[token * width_ + at] != 0; }

 private:
  // **/ also stands for nothing at all.
  static bool may_vanish(const std::vector<Token>& tokens, std::size_t t) {
    return tokens[t].kind == Kind::stars && t + 1 < tokens.size() && tokens[t + 1].kind == Kind::letter &&
           tokens[t + 1].letter == '/';
  }
  char& cell(std::size_t token, std::size_t at) { return cells_[token * width_ + at]; }

  std::size_t width_;
  std::vector<char> cells_;
};

}  // namespace

std::optional<std::vector<std::string>> stars_of(std::string_view glob, std::string_view path, std::string_view ends) {
  if (!ends_fit(glob, path)) return std::nullopt;
  const std::vector<Token> tokens = tokens_of(glob);
  const Matches matches(tokens, path, ends);
  if (!matches.holds(0, 0)) return std::nullopt;
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t].kind == Kind::letter || tokens[t].kind == Kind::one) {
      ++at;
      continue;
    }
    const std::size_t most = tokens[t].kind == Kind::star ? path.find_first_of(ends, at) : path.size();
    std::size_t end = std::min(most, path.size());
    while (end > at && !matches.holds(t + 1, end)) --end;
    texts.emplace_back(path.substr(at, end - at));
    if (!matches.holds(t + 1, end)) ++t;  // the / of **/, which stands for nothing
    at = end;
  }
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
