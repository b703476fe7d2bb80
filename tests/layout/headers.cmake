# layout.headers: every public header is in the umbrella weft.h or in the opt-in list below, never in both,
# and weft.h names nothing that is gone. Each has its guard.
# Run as: cmake -DROOT=<source folder> -P headers.cmake
cmake_minimum_required(VERSION 3.25)

# Not in <weft/weft.h>: what only weft's own sources use, or what costs a user's compile time.
set(opt_in
    "^graph/(graph_bgl|graph_data|nearest|user_line|user_rule)\\.h$"
    "^graph/passes/equal_nodes\\.h$"
    "^runtime/(simd/.*|simd_streams|gemm_tiles|onednn|packing|placement|placers|schedule|schedulers|segments|tensor_xt|copy|liveness|svg|row_.*)\\.h$"
    "^ops/(activation_.*|feed_forward_parts|glu_rows|reduce_kernel|strided|summary|rows|product|attention_[a-oq-z].*|attention_plain|pair_blocks|score_(function|program)|ids|index_rules|unpack|pointwise|pointwise_kernels|xtensor_kernel|softmax_.*|cross_entropy_rows|deep_product|matmul_epilogue|linear_cross_entropy|chunk_projection_loss|reference|matmul_accumulate|fus(e|ion).*)\\.h$"
    "^autodiff/(attention_cost|plain_outputs|sample_run|op_checker|hand_run|gradient_probe|remat_.*|min_cut|knapsack)\\.h$"
    "^optim/(settle|gather|whole_values|divergence_compare|loss_groups|micro_levels|gradient_norm|precision_plan|rederive|equivalence_(claims|compare|trial)|audit_parts|arrivals|blocks|block_flow|cotangents|edge_flow|forward_values|parameter_use|zero_start|gradient_verdicts)\\.h$"
    "^io/(atomic_file|label)\\.h$"
    "^testing/.*\\.h$")

file(GLOB_RECURSE headers RELATIVE "${ROOT}"
     "${ROOT}/graph/*.h" "${ROOT}/runtime/*.h" "${ROOT}/ops/*.h" "${ROOT}/autodiff/*.h"
     "${ROOT}/optim/*.h" "${ROOT}/nn/*.h" "${ROOT}/io/*.h" "${ROOT}/testing/*.h")
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
