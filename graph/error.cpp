#include <weft/graph/error.h>

#include <weft/graph/graph.h>
#include <weft/graph/user_line.h>

#include <vector>

namespace weft {
namespace {

thread_local std::vector<std::source_location> lines;

}  // namespace

UserLine::UserLine(std::source_location where) { lines.push_back(where); }
UserLine::~UserLine() { lines.pop_back(); }

std::optional<std::source_location> UserLine::current() {
  return lines.empty() ? std::nullopt : std::optional(lines.front());
}

}  // namespace weft

namespace weft::detail {

void throw_user_error(std::string message) {
  const auto line = UserLine::current();
  throw UserError(line ? fmt::format("{}: {}", str(*line), message) : message, message);
}

void throw_internal_error(const char* condition, const char* file, int line, const std::string& message) {
  throw InternalError(fmt::format("weft internal error: {} ({} at {}:{})", message, condition, file, line), message);
}

}  // namespace weft::detail
