// Helpers for SVG pictures: escaped text, steps of an axis, labels of ticks. Not in <weft/weft.h>.
#pragma once

#include <string>
#include <string_view>

namespace weft {

/// Text as it stands between tags and in attributes of XML: & < > " ' become entities.
std::string xml_escaped(std::string_view text);

/// The distance between ticks, 1, 2 or 5 times a power of ten: a range > 0 holds about `count` of them, and no more.
double nice_step(double range, int count);
/// A multiple of `step` with as many decimals as the step has: "0.25", "-3".
std::string tick_label(double value, double step);

}  // namespace weft
