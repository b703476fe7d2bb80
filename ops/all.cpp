#include <weft/ops/all.h>

#include <weft/graph/registry.h>
#include <weft/ops/adamw.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/creation.h>
#include <weft/ops/movement.h>
#include <weft/ops/reduce.h>
#include <weft/ops/unary.h>
#include <weft/runtime/copy.h>

namespace weft {

void register_all() {
  static const bool once = [] {
    registry().add(copy_op());  // put in by lowering
    register_adamw();
    register_arithmetic();
    register_creation();
    register_movement();
    register_reduce();
    register_unary();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace weft
