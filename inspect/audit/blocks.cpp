#include <weft/inspect/audit/blocks.h>

#include <weft/graph/reach.h>

#include <algorithm>
#include <charconv>

namespace weft {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// "decoder/3" is member 3 of "decoder"; -1 of what ends in no number.
struct Member {
  std::string_view series;
  long number = -1;
};
Member member_of(std::string_view block) {
  const std::size_t slash = block.rfind('/');
  const std::string_view last = slash == std::string_view::npos ? block : block.substr(slash + 1);
  Member member{slash == std::string_view::npos ? std::string_view{} : block.substr(0, slash)};
  if (is_number(last)) std::from_chars(last.data(), last.data() + last.size(), member.number);
  return member;
}

}  // namespace

std::string block_of(std::string_view path) {
  const std::size_t leaf = path.rfind('/');
  if (leaf == std::string_view::npos) return "";
  const std::string_view scopes = path.substr(0, leaf);
  for (std::size_t end = scopes.size();;) {
    const std::size_t slash = scopes.rfind('/', end - 1);
    const std::size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    if (is_number(scopes.substr(begin, end - begin))) return std::string(scopes.substr(0, end));
    if (begin == 0) break;
    end = slash;
  }
  return std::string(scopes.substr(0, scopes.find('/')));
}

std::string joined_blocks(const std::vector<std::string>& blocks) {
  std::string text;
  for (std::size_t i = 0; i < blocks.size();) {
    const Member first = member_of(blocks[i]);
    std::size_t next = i + 1;
    while (first.number >= 0 && next < blocks.size()) {
      const Member member = member_of(blocks[next]);
      if (member.series != first.series || member.number != first.number + static_cast<long>(next - i)) break;
      ++next;
    }
    text += (text.empty() ? "" : ", ") + (blocks[i].empty() ? "(top)" : blocks[i]);
    if (next > i + 1) text += fmt::format("..{}", member_of(blocks[next - 1]).number);
    i = next;
  }
  return text;
}

NodeSet leads_to_loss(const Step& step) {
  std::vector<Value> sums;
  for (const LossTerm& term : step.loss.terms) sums.push_back(term.sum);
  return ancestors(step.graph, sums);
}

}  // namespace weft
