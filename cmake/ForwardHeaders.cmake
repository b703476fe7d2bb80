# Every header is included as <weft/folder/file.h> while it lies at folder/file.h
# (docs/decisions/0001). A header that holds one include of the real file makes that work in the build
# tree; the real headers are what is installed. Errors name the real file, and touching it rebuilds its users.
function(weft_forward_headers include_dir)
  foreach(header IN LISTS ARGN)
    file(CONFIGURE OUTPUT "${include_dir}/weft/${header}"
         CONTENT "#include \"${PROJECT_SOURCE_DIR}/${header}\"\n" @ONLY)
  endforeach()
  # A forward to a header that is gone would hide the error that names the include.
  file(GLOB_RECURSE present RELATIVE "${include_dir}/weft" "${include_dir}/weft/*.h")
  foreach(header IN LISTS present)
    if(NOT header IN_LIST ARGN)
      file(REMOVE "${include_dir}/weft/${header}")
    endif()
  endforeach()
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
