# layout.headers: every header has its guard and begins with a comment that says what it holds; <weft/weft.h>, which is made from
# them, holds as many as it should.
# Run as: cmake -DROOT=<source folder> -P headers.cmake
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/../../cmake/ForwardHeaders.cmake")

set(headers "")
foreach(folder graph runtime ops autodiff optim inspect nn io testing)
  file(GLOB_RECURSE found RELATIVE "${ROOT}" "${ROOT}/${folder}/*.h")
  list(APPEND headers ${found})
endforeach()

set(faults "")
foreach(header IN LISTS headers)
  file(STRINGS "${ROOT}/${header}" first LIMIT_COUNT 1)
  file(STRINGS "${ROOT}/${header}" guard REGEX "^#pragma once$" LIMIT_COUNT 1)
  if(NOT first MATCHES "^// .*[a-z]" OR NOT guard)
    string(APPEND faults "  ${header}: first a comment that says what it holds, then #pragma once\n")
  endif()
endforeach()

set(umbrella "${CMAKE_CURRENT_BINARY_DIR}/weft-umbrella.h")
weft_umbrella("${umbrella}" "${ROOT}" ${headers})
file(STRINGS "${umbrella}" included REGEX "^#include <weft/")
file(REMOVE "${umbrella}")
list(LENGTH included count)
list(LENGTH headers all)
if(count LESS 100 OR NOT count LESS all)
  string(APPEND faults "  <weft/weft.h> holds ${count} of ${all} headers\n")
endif()
if(faults)
  message(FATAL_ERROR "Headers:\n${faults}")
endif()
