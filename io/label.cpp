#include <weft/graph/error.h>
#include <weft/io/label.h>
#include <weft/io/text.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace weft {
namespace {

using Ranges = std::initializer_list<std::pair<char32_t, char32_t>>;
bool in(char32_t c, Ranges ranges) {
  return std::ranges::any_of(ranges, [c](const auto& range) { return range.first <= c && c <= range.second; });
}

// Marks that take no room of their own: the common blocks of general category Mn, variation selectors, joiners.
bool combines(char32_t c) {
  return in(c, {{0x300, 0x36f},
                {0x483, 0x489},
                {0x591, 0x5bd},
                {0x610, 0x61a},
                {0x64b, 0x65f},
                {0xe31, 0xe31},
                {0xe34, 0xe3a},
                {0xe47, 0xe4e},
                {0x1ab0, 0x1aff},
                {0x1dc0, 0x1dff},
                {0x200c, 0x200d},
                {0x20d0, 0x20ff},
                {0xfe00, 0xfe0f},
                {0xfe20, 0xfe2f},
                {0x1f3fb, 0x1f3ff},
                {0xe0100, 0xe01ef}});
}

// Unicode Standard Annex 11, East_Asian_Width W and F, by blocks.
bool is_wide(char32_t c) {
  return in(c, {{0x1100, 0x115f},
                {0x2e80, 0x303e},
                {0x3041, 0xa4cf},
                {0xac00, 0xd7a3},
                {0xf900, 0xfaff},
                {0xfe30, 0xfe6f},
                {0xff00, 0xff60},
                {0xffe0, 0xffe6},
                {0x1f300, 0x1f64f},
                {0x1f680, 0x1f6ff},
                {0x1f900, 0x1f9ff},
                {0x20000, 0x3fffd}});
}

// Characters without ink, and those that XML 1.0 does not allow (section 2.2).
bool is_invisible(char32_t c) {
  return in(c, {{0x80, 0xa0},
                {0xad, 0xad},
                {0x61c, 0x61c},
                {0x1680, 0x1680},
                {0x180e, 0x180e},
                {0x2000, 0x200b},
                {0x200e, 0x200f},
                {0x2028, 0x202f},
                {0x205f, 0x206f},
                {0x3000, 0x3000},
                {0x3164, 0x3164},
                {0xfeff, 0xfeff},
                {0xfff0, 0xfffb},
                {0xe0000, 0xe007f}}) ||
         (c & 0xfffeU) == 0xfffeU;
}

std::u32string widened(const std::string& ascii) { return {ascii.begin(), ascii.end()}; }

std::u32string mark_of(char32_t c, bool mark_spaces) {
  if (c == U' ') return mark_spaces ? U"\u2423" : U" ";
  if (c == U'\n') return U"\u21b5";
  if (c == U'\t') return U"\u21e5";
  if (c < 0x20) return {static_cast<char32_t>(0x2400 + c)};
  if (c == 0x7f) return U"\u2421";
  if (is_invisible(c)) return widened(fmt::format("U+{:04X}", static_cast<std::uint32_t>(c)));
  return {c};
}

std::string visible(std::string_view text, std::int64_t longest, bool mark_spaces) {
  WEFT_CHECK(longest >= 1, "labels need room for at least 1 character, got {}", longest);
  std::u32string marked;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character next = utf8_at(text, at);
    if (next.length == 0) marked += widened(fmt::format("\\x{:02X}", static_cast<unsigned char>(text[at])));
    else if (marked.empty() && combines(next.code)) marked += {U'\u25cc', next.code};  // nothing to combine with
    else marked += mark_of(next.code, mark_spaces);
    at += std::max<std::size_t>(next.length, 1);
  }
  const auto most = static_cast<std::size_t>(longest);
  const auto count = std::ranges::count_if(marked, [](char32_t c) { return !combines(c); });
  if (std::cmp_greater(count, most)) {
    std::size_t end = 0, kept = 0;
    while (kept + 1 < most || combines(marked[end])) kept += combines(marked[end++]) ? 0U : 1U;
    marked.replace(end, std::u32string::npos, U"\u2026");
  }
  return encode_utf8(marked);
}

}  // namespace

std::string visible_label(std::string_view text, std::int64_t longest) { return visible(text, longest, true); }
std::string visible_title(std::string_view text, std::int64_t longest) { return visible(text, longest, false); }

double label_ems(std::string_view label) {
  double ems = 0;
  for (const char32_t c : decode_utf8(label)) {
    if (combines(c)) continue;
    ems += c < 0x530                   ? 0.61
           : in(c, {{0x2000, 0x2bff}}) ? 1.0
                                       : 1.3;  // symbols fit a square, other scripts and emoji less so
  }
  return ems;
}

std::int64_t label_columns(std::string_view label) {
  std::int64_t columns = 0;
  for (const char32_t c : decode_utf8(label)) columns += combines(c) ? 0 : is_wide(c) ? 2 : 1;
  return columns;
}

std::vector<std::string> label_characters(std::string_view label) {
  std::vector<std::string> characters;
  for (const char32_t c : decode_utf8(label)) {
    if (characters.empty() || !combines(c)) characters.emplace_back();
    characters.back() += encode_utf8({&c, 1});
  }
  return characters;
}

}  // namespace weft
