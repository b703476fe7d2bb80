# The libraries that the compiled weft needs at link time. Used by the build and, installed, by
# weftConfig.cmake, so that both look in the same way.
#
#   weft::dnnl    oneDNN. Its own package file demands an OpenCL development package even for a CPU
#                 build, so the header and the library are looked up here.
#   weft::cblas   OpenBLAS, OpenMP build first: a second kind of thread pool fights with ours.
#                 Linking by its own folder makes CMake set the run path, so the OpenMP build is
#                 used whatever the system's alternatives say.
function(weft_find_library name header library suffixes)
  if(TARGET weft::${name})
    return()
  endif()
  find_path(WEFT_${name}_INCLUDE_DIR ${header} PATH_SUFFIXES ${suffixes})
  find_library(WEFT_${name}_LIBRARY ${library} PATH_SUFFIXES ${suffixes})
  mark_as_advanced(WEFT_${name}_INCLUDE_DIR WEFT_${name}_LIBRARY)
  if(NOT WEFT_${name}_INCLUDE_DIR OR NOT WEFT_${name}_LIBRARY)
    message(FATAL_ERROR "weft needs ${header} and lib${library}, and did not find them; "
                        "hint: `./weft build` installs what is missing on Debian")
  endif()
  add_library(weft::${name} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(weft::${name} PROPERTIES
    IMPORTED_LOCATION "${WEFT_${name}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${WEFT_${name}_INCLUDE_DIR}")
endfunction()

weft_find_library(dnnl oneapi/dnnl/dnnl.hpp dnnl "")
weft_find_library(cblas cblas.h openblas "openblas-openmp;${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp")
