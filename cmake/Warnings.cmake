# weft_flags: what every target of this project is compiled with, and no user of the installed package is.
add_library(weft_flags INTERFACE)
target_compile_options(weft_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion $<$<BOOL:${WEFT_WERROR}>:-Werror>
  # The same bits from every compiler setting: no silent fused multiply-add; errno costs vector code.
  -ffp-contract=off -fno-math-errno
  # Lines in messages, and so the objects, are the same wherever the sources lie: ccache serves every copy of them.
  "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=")
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # What GCC says falsely, silenced in every build, by version:
  #   restrict             12: "a" + string (GCC bug 105329)
  #   maybe-uninitialized  12 and 14: an aggregate of vectors and functions whose initialiser throws half-way, which is what
  #                        every op definition is
  #   stringop-overflow, array-bounds
  #                        12: the same "a" + string, where <string> comes from a precompiled header; `dev` has them as
  #                        errors
  #   free-nonheap-object  14: a vector that grows in inspect/divergence/first_divergence.cpp
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(weft_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized
                           $<$<BOOL:${WEFT_PRECOMPILE}>:-Wno-stringop-overflow;-Wno-array-bounds>)
  else()
    target_compile_options(weft_flags INTERFACE -Wno-maybe-uninitialized -Wno-free-nonheap-object)
  endif()
endif()

if(WEFT_SANITIZE)
  set(sanitize -fsanitize=${WEFT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(weft_flags INTERFACE ${sanitize})
  target_link_options(weft_flags INTERFACE ${sanitize})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC 12's flow warnings report false positives in the standard library and Boost under a sanitizer; the
    # release build has them all, as errors.
    target_compile_options(weft_flags INTERFACE -Wno-stringop-overflow -Wno-array-bounds -Wno-uninitialized
                                                -Wno-maybe-uninitialized -Wno-error)
  endif()
endif()

# GCC collects its garbage often, and walks all of the precompiled header each time: a tenth of the time of a test's source.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(weft_flags INTERFACE --param=ggc-min-heapsize=400000)
endif()

# Sources name their own includes all the same: the preset `dev` is without this.
function(weft_precompile target)
  if(NOT WEFT_PRECOMPILE)
    return()
  endif()
  if(ARGV1 STREQUAL REUSE_FROM)
    target_precompile_headers(${target} REUSE_FROM ${ARGV2})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGV1})
  endif()
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endfunction()

if(WEFT_COVERAGE)
  target_compile_options(weft_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(weft_flags INTERFACE --coverage)
endif()
