# Every header is included as <weft/folder/file.h> while it lies at folder/file.h
# (docs/decisions/0001). A header that holds one include of the real file makes that work in the build
# tree; the real headers are what is installed. Errors name the real file, and touching it rebuilds its users.
# FROM <folder>: another place than this project's for the real files.
function(weft_forward_headers include_dir)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" FROM "")
  set(from "${PROJECT_SOURCE_DIR}")
  if(arg_FROM)
    set(from "${arg_FROM}")
  endif()
  foreach(header IN LISTS arg_UNPARSED_ARGUMENTS)
    file(CONFIGURE OUTPUT "${include_dir}/weft/${header}" CONTENT "#include \"${from}/${header}\"\n" @ONLY)
  endforeach()
  # A forward to a header that is gone would hide the error that names the include.
  file(GLOB_RECURSE present RELATIVE "${include_dir}/weft" "${include_dir}/weft/*.h")
  foreach(header IN LISTS present)
    if(NOT header IN_LIST arg_UNPARSED_ARGUMENTS AND NOT header STREQUAL "weft.h")
      file(REMOVE "${include_dir}/weft/${header}")
    endif()
  endforeach()
endfunction()

# Writes the umbrella, <weft/weft.h>: every header, folder by folder, but those that are for weft's own sources or cost a user's
# compile time. They say so: a whole room below, a single header by "Private to ..." or "Not in <weft/weft.h>" in the comment
# that it begins with.
set(WEFT_OPT_IN_ROOMS "^(ops/fuse|runtime/region|runtime/simd|testing)/")
function(weft_umbrella file root)
  set(text "// Everything a user of weft includes, made by cmake/ForwardHeaders.cmake. Includes only.\n#pragma once\n")
  set(last "")
  foreach(header IN LISTS ARGN)
    if(header MATCHES "${WEFT_OPT_IN_ROOMS}" AND NOT header STREQUAL "runtime/simd/simd.h")
      continue()
    endif()
    file(STRINGS "${root}/${header}" opt_in REGEX "^//.*(Private to|Not in <weft/weft\\.h>)" LIMIT_COUNT 1)
    if(opt_in)
      continue()
    endif()
    string(REGEX MATCH "^[^/]+" folder "${header}")
    if(NOT folder STREQUAL last)
      string(APPEND text "\n")
      set(last "${folder}")
    endif()
    string(APPEND text "#include <weft/${header}>\n")
  endforeach()
  file(CONFIGURE OUTPUT "${file}" CONTENT "${text}" @ONLY)
endfunction()

# One source per header that includes it and nothing else: the header compiles alone. Headers that their own .cpp
# includes first are shown to by that. Not part of `all`: the test layout.self_contained builds it.
function(weft_header_surrogates target)
  foreach(header IN LISTS ARGN)
    cmake_path(REPLACE_EXTENSION header LAST_ONLY .cpp OUTPUT_VARIABLE own)
    if(EXISTS "${PROJECT_SOURCE_DIR}/${own}")
      file(STRINGS "${PROJECT_SOURCE_DIR}/${own}" first REGEX "^#include" LIMIT_COUNT 1)
      if(first STREQUAL "#include <weft/${header}>")
        continue()
      endif()
    endif()
    set(surrogate "${PROJECT_BINARY_DIR}/surrogates/${header}.cpp")
    file(CONFIGURE OUTPUT "${surrogate}"
         CONTENT "#include <weft/${header}>\n" @ONLY)
    list(APPEND surrogates "${surrogate}")
  endforeach()
  add_library(${target} OBJECT EXCLUDE_FROM_ALL ${surrogates})
  target_link_libraries(${target} PRIVATE weft weft_flags weft_private_headers)
  target_compile_options(${target} PRIVATE -O0 -g0)
endfunction()
