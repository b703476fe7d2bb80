# layout.headers: every public header is in the umbrella weft.h or in the opt-in list below, never in both,
# and weft.h names nothing that is gone. Each has its guard.
# Run as: cmake -DROOT=<source folder> -P headers.cmake
cmake_minimum_required(VERSION 3.25)

# Not in <weft/weft.h>: what only weft's own sources use, or what costs a user's compile time.
set(opt_in
    "^graph/(graph_bgl|graph_data|nearest|user_line|user_rule)\\.h$"
    "^graph/passes/equal_nodes\\.h$"
    "^runtime/(bounded_cache|copy|gemm_tiles|in_place|onednn|svg|tensor_xt|wide)\\.h$"
    "^runtime/region/.*\\.h$"
    "^runtime/simd/(.*_kernels|curves|streams|tables|tile|vector_math|xsimd)\\.h$"
    "^runtime/memory/(packing|placement|placers|schedule|schedulers|segments|liveness)\\.h$"
    "^ops/fuse/.*\\.h$"
    "^ops/attention/(backward_task|blocks|flash|forward_task|functions|low|modify|pair_blocks|plain|samples|score_function|score_program|shape|sums|tile)\\.h$"
    "^ops/index/(ids|index_rules)\\.h$"
    "^ops/kit/(pointwise|pointwise_kernels|reference|rows|xtensor_kernel)\\.h$"
    "^ops/loss/cross_entropy_rows\\.h$"
    "^ops/norm/softmax_.*\\.h$"
    "^ops/pointwise/(activation_.*|glu_rows)\\.h$"
    "^ops/product/(feed_forward_parts|product)\\.h$"
    "^ops/reduce/(reduce_kernel|summary)\\.h$"
    "^ops/shape/(strided|unpack)\\.h$"
    "^autodiff/(attention_cost|plain_outputs)\\.h$"
    "^autodiff/remat/(blocks|choice|clone|cut|graph|knapsack|min_cut|search)\\.h$"
    "^optim/(settle|gather|loss_groups|micro_levels|gradient_norm|precision_plan|rederive)\\.h$"
    "^inspect/audit/(parts|blocks|edge_flow)\\.h$"
    "^inspect/divergence/(whole_values|compare)\\.h$"
    "^inspect/equivalence/(claims|compare|trial)\\.h$"
    "^inspect/gradients/(arrivals|block_flow|cotangents|forward_values|gradient_verdicts|parameter_use|zero_start)\\.h$"
    "^inspect/op/(sample_run|op_checker|hand_run|gradient_probe)\\.h$"
    "^io/(atomic_file|label)\\.h$"
    "^testing/.*\\.h$")

file(GLOB_RECURSE headers RELATIVE "${ROOT}"
     "${ROOT}/graph/*.h" "${ROOT}/runtime/*.h" "${ROOT}/ops/*.h" "${ROOT}/autodiff/*.h"
     "${ROOT}/optim/*.h" "${ROOT}/inspect/*.h" "${ROOT}/nn/*.h" "${ROOT}/io/*.h" "${ROOT}/testing/*.h")
file(STRINGS "${ROOT}/weft.h" lines)
set(included "")
set(faults "")
foreach(line IN LISTS lines)
  if(line MATCHES "^#include <weft/(.+)>$")
    list(APPEND included "${CMAKE_MATCH_1}")
  elseif(NOT line MATCHES "^(//.*|#pragma once)?$")
    string(APPEND faults "  weft.h holds more than includes: ${line}\n")
  endif()
endforeach()

foreach(header IN LISTS headers)
  file(STRINGS "${ROOT}/${header}" guard REGEX "^#pragma once$" LIMIT_COUNT 1)
  if(NOT guard)
    string(APPEND faults "  ${header} has no #pragma once\n")
  endif()
  set(opts_in FALSE)
  foreach(pattern IN LISTS opt_in)
    if(header MATCHES "${pattern}")
      set(opts_in TRUE)
    endif()
  endforeach()
  if(opts_in)
    if(header IN_LIST included)
      string(APPEND faults "  ${header} is in weft.h and in the opt-in list\n")
    endif()
  elseif(NOT header IN_LIST included)
    string(APPEND faults "  ${header} is missing in weft.h (or in the opt-in list of this test)\n")
  endif()
endforeach()
foreach(header IN LISTS included)
  if(NOT header IN_LIST headers)
    string(APPEND faults "  weft.h includes ${header}, which does not exist\n")
  endif()
endforeach()

if(faults)
  message(FATAL_ERROR "The umbrella and the tree differ:\n${faults}")
endif()
