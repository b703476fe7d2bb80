# layout.includes: the folders include each other one way only, and a library stays where it belongs.
# Run as: cmake -DROOT=<source folder> -P includes.cmake
cmake_minimum_required(VERSION 3.25)

set(may_include_graph    graph)
set(may_include_runtime  graph runtime)
set(may_include_ops      graph runtime ops)
set(may_include_autodiff graph runtime ops autodiff)
set(may_include_optim    graph runtime ops autodiff optim)
set(may_include_inspect  graph runtime ops autodiff optim inspect)
set(may_include_nn       graph runtime ops nn)
set(may_include_io       graph runtime io)
set(may_include_testing  graph runtime ops autodiff optim inspect nn io testing)

# Third-party headers that would cost every user's file seconds: only .cpp files include them, and
# graph/graph_bgl.h, the opt-in view for those who want Boost's algorithms.
set(cpp_only "^(boost/|xtensor-blas/|xflens/|oneapi/|dnnl|cblas|nlohmann/|Random123/)")
set(cpp_only_exceptions graph/graph_bgl.h)

# What differs between the versions of Debian 12 and 13 stands in one file for each library; no other includes it.
set(shims "^xsimd/=runtime/simd/xsimd.h" "^xtensor/=runtime/xtensor.h" "^(oneapi/|dnnl)=runtime/onednn.cpp"
          "^catch2/=testing/catch.h")

# A file compiled for one instruction set takes no inline function of another library with it: the linker
# keeps one copy of each, and it might be the one that the machine cannot run. So too the headers of the folder.
set(one_isa "(_(avx2|avx512)\\.cpp|^runtime/simd/[^/]+\\.h)$")
set(one_isa_may_include "^(xsimd/.*|weft/runtime/simd/.*|(immintrin|math)\\.h|cmath|cstddef|cstdint|type_traits|utility)$")

set(faults "")
macro(fault text)
  string(APPEND faults "  ${file}:${number}: ${include}: ${text}\n")
endmacro()

foreach(folder graph runtime ops autodiff optim inspect nn io testing)
  file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/${folder}/*.h" "${ROOT}/${folder}/*.cpp")
  foreach(file IN LISTS files)
    file(READ "${ROOT}/${file}" text)
    string(REGEX REPLACE "[][;]" " " text "${text}")
    string(REPLACE "\n" ";" lines "${text}")
    set(number 0)
    foreach(line IN LISTS lines)
      math(EXPR number "${number} + 1")
      if(line MATCHES "^ *# *pragma omp" AND NOT file MATCHES "^runtime/parallel\\.")
        set(include "#pragma omp")
        fault("OpenMP stands in runtime/parallel.* only")
      endif()
      if(NOT line MATCHES "^ *# *include *([<\"])([^>\"]+)")
        continue()
      endif()
      set(quote "${CMAKE_MATCH_1}")
      set(include "${CMAKE_MATCH_2}")
      if(quote STREQUAL "\"")
        fault("write <weft/folder/file.h>")
      elseif(include MATCHES "^weft/([^/]+)/")
        if(NOT CMAKE_MATCH_1 IN_LIST may_include_${folder})
          fault("${folder}/ may include only: ${may_include_${folder}}")
        endif()
        if(file MATCHES "^ops/" AND NOT file MATCHES "^ops/(fuse/|all\\.cpp$)" AND include MATCHES "^weft/ops/fuse/" AND
           NOT include STREQUAL "weft/ops/fuse/passes.h")
          fault("an op names the passes that it brings by ops/fuse/passes.h")
        endif()
      elseif(include STREQUAL "weft/weft.h")
        fault("the umbrella is for users; include what is used")
      elseif(include MATCHES "${cpp_only}" AND file MATCHES "\\.h$" AND
             NOT file IN_LIST cpp_only_exceptions)
        fault("only .cpp files include this library")
      elseif(include STREQUAL "omp.h" AND NOT file MATCHES "^runtime/parallel\\.")
        fault("OpenMP stands in runtime/parallel.* only")
      endif()
      foreach(shim IN LISTS shims)
        string(REGEX MATCH "^(.*)=(.*)$" matched "${shim}")
        set(home "${CMAKE_MATCH_2}")
        if(include MATCHES "${CMAKE_MATCH_1}" AND NOT file STREQUAL home)
          fault("only ${home} includes this library")
        endif()
      endforeach()
      if(file MATCHES "${one_isa}" AND NOT include MATCHES "${one_isa_may_include}")
        fault("a file of one instruction set, and a header of runtime/simd/, includes only xsimd and runtime/simd/")
      endif()
    endforeach()
  endforeach()
endforeach()

if(faults)
  message(FATAL_ERROR "Includes against the table of tests/layout/includes.cmake:\n${faults}")
endif()
