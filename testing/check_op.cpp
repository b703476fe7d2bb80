#include <weft/testing/check_op.h>

#include <weft/graph/registry.h>
#include <weft/ops/all.h>

namespace weft::testing {

OpCheck check_op(std::string_view name, std::source_location where) {
  register_all();  // so that the nearest names are all there are
  return weft::check_op(registry().at(name), where);
}

}  // namespace weft::testing
