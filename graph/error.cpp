#include <weft/graph/error.h>

namespace weft::detail {

void throw_user_error(std::string message) { throw UserError(std::move(message)); }

void throw_internal_error(const char* condition, const char* file, int line,
                          const std::string& message) {
  throw InternalError(fmt::format("weft internal error: {} ({} at {}:{})", message, condition, file,
                                  line));
}

}  // namespace weft::detail
