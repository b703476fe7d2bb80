#include <weft/ops/all.h>

#include <weft/graph/registry.h>
#include <weft/ops/activation.h>
#include <weft/ops/adamw.h>
#include <weft/ops/arithmetic.h>
#include <weft/ops/arrange.h>
#include <weft/ops/attention.h>
#include <weft/ops/cache.h>
#include <weft/ops/creation.h>
#include <weft/ops/cross_entropy.h>
#include <weft/ops/dropout.h>
#include <weft/ops/embedding.h>
#include <weft/ops/feed_forward.h>
#include <weft/ops/glu.h>
#include <weft/ops/guard.h>
#include <weft/ops/index.h>
#include <weft/ops/layer_norm.h>
#include <weft/ops/matmul_epilogue.h>
#include <weft/ops/linear_cross_entropy.h>
#include <weft/ops/loss.h>
#include <weft/ops/matmul.h>
#include <weft/ops/matmul_accumulate.h>
#include <weft/ops/micro.h>
#include <weft/ops/movement.h>
#include <weft/ops/reduce.h>
#include <weft/ops/rms_norm.h>
#include <weft/ops/sampling.h>
#include <weft/ops/scan.h>
#include <weft/ops/softmax.h>
#include <weft/ops/sort.h>
#include <weft/ops/statistics.h>
#include <weft/ops/summary.h>
#include <weft/ops/unary.h>
#include <weft/ops/unpack.h>
#include <weft/runtime/copy.h>
#include <weft/runtime/row_region.h>

namespace weft {

void register_all() {
  static const bool once = [] {
    registry().add(copy_op());  // put in by lowering
    registry().add(row_region_op());
    register_activation();
    register_adamw();
    register_arithmetic();
    register_arrange();
    register_attention();
    register_cache();
    register_creation();
    register_cross_entropy();
    register_dropout();
    register_embedding();
    register_feed_forward();
    register_glu();
    register_guard();
    register_index();
    register_layer_norm();
    register_matmul_epilogue();
    register_linear_cross_entropy();
    register_loss();
    register_matmul();
    register_matmul_accumulate();
    register_micro();
    register_movement();
    register_reduce();
    register_summary();
    register_rms_norm();
    register_sampling();
    register_scan();
    register_softmax();
    register_sort();
    register_statistics();
    register_unary();
    register_unpack();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace weft
