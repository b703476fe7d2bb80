#include <weft/ops/all.h>

#include <weft/ops/arithmetic.h>
#include <weft/ops/creation.h>
#include <weft/ops/unary.h>

namespace weft {

void register_all() {
  static const bool once = [] {
    register_arithmetic();
    register_creation();
    register_unary();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace weft
