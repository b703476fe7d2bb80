// Labels of tokens for pictures and tables: one line of UTF-8 in which every character is visible, and its width.
// Not in <weft/weft.h>.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// `text` with marks for invisible characters: a space is ␣, a line end ↵, a tab ⇥, other control characters their
/// picture (U+2400 ...), other invisible characters U+XXXX, a byte that is not UTF-8 (a byte-level token) \xNN. More
/// than `longest` >= 1 characters end in "…", which counts. The result is UTF-8 and holds only characters that XML
/// allows.
std::string visible_label(std::string_view text, std::int64_t longest);
/// The same for a title: spaces stay spaces.
std::string visible_title(std::string_view text, std::int64_t longest);

/// An upper bound of the width in a monospaced font, in ems (font sizes): fonts without the character are served by
/// others, so only Latin, Greek and Cyrillic are taken to be 0.61 wide (DejaVu Sans Mono has 0.602).
double label_ems(std::string_view label);

/// Columns of a terminal: 2 for wide characters (East Asian, emoji), 0 for marks that combine with what stands before.
std::int64_t label_columns(std::string_view label);
/// Characters, each with the marks that combine with it.
std::vector<std::string> label_characters(std::string_view label);

}  // namespace weft
