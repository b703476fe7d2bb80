#include <weft/ops/all.h>

#include <weft/graph/registry.h>
#include <weft/ops/attention/attention.h>
#include <weft/ops/attention/cache.h>
#include <weft/ops/fuse/linear_cross_entropy.h>
#include <weft/ops/fuse/matmul_accumulate.h>
#include <weft/ops/fuse/matmul_epilogue.h>
#include <weft/ops/index/embedding.h>
#include <weft/ops/index/index.h>
#include <weft/ops/index/sampling.h>
#include <weft/ops/index/sort.h>
#include <weft/ops/loss/cross_entropy.h>
#include <weft/ops/loss/loss.h>
#include <weft/ops/norm/layer_norm.h>
#include <weft/ops/norm/rms_norm.h>
#include <weft/ops/norm/softmax.h>
#include <weft/ops/pointwise/activation.h>
#include <weft/ops/pointwise/arithmetic.h>
#include <weft/ops/pointwise/dropout.h>
#include <weft/ops/pointwise/glu.h>
#include <weft/ops/pointwise/unary.h>
#include <weft/ops/product/feed_forward.h>
#include <weft/ops/product/matmul.h>
#include <weft/ops/reduce/reduce.h>
#include <weft/ops/reduce/scan.h>
#include <weft/ops/reduce/statistics.h>
#include <weft/ops/reduce/summary.h>
#include <weft/ops/shape/arrange.h>
#include <weft/ops/shape/creation.h>
#include <weft/ops/shape/movement.h>
#include <weft/ops/shape/unpack.h>
#include <weft/ops/step/adamw.h>
#include <weft/ops/step/guard.h>
#include <weft/ops/step/micro.h>
#include <weft/runtime/copy.h>
#include <weft/runtime/region/region.h>

namespace weft {

void register_all() { registry(); }

void detail::add_library_ops() {
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
}

}  // namespace weft
