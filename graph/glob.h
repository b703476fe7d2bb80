// Glob patterns for paths: "decoder/*/attention/**".
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// Whether a path matches a glob: * stands for any text within a component, ** for any text across them ("**/x" matches
/// "x" too), ? for one character of a component. Takes time in proportion to glob times path at most.
bool matches(std::string_view glob, std::string_view path);

/// The text that each * and ** matched, in order, each as long as it can be; nullopt if the path does not match. Any
/// character of `ends` ends a component.
std::optional<std::vector<std::string>> stars_of(std::string_view glob, std::string_view path,
                                                 std::string_view ends = "/");
/// How many of * and ** a glob has.
std::size_t count_stars(std::string_view glob);
/// The glob with each * and ** replaced, in their order.
std::string fill_stars(std::string_view glob, const std::vector<std::string>& texts);

}  // namespace weft
