# What the checks of the package share. Each is run as
# cmake -DSOURCE=<source folder> -DBUILD=<build folder> -DCOMPILER=<c++> -DLAUNCHER=<ccache or empty> -P NAME.cmake
cmake_minimum_required(VERSION 3.25)

cmake_path(GET CMAKE_SCRIPT_MODE_FILE STEM check)
set(work "${BUILD}/tests/install/${check}")
file(REMOVE_RECURSE "${work}")
file(MAKE_DIRECTORY "${work}")
set(configure "${CMAKE_COMMAND}" -G Ninja "-DCMAKE_CXX_COMPILER=${COMPILER}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}")

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Paths into the source or the build tree work on this machine and on no other.
function(expect_no_path_of_ours prefix)
  file(GLOB_RECURSE files "${prefix}/*.cmake" "${prefix}/*.pc")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    foreach(path "${BUILD}" "${SOURCE}" "${prefix}")
      string(FIND "${text}" "${path}" at)
      if(NOT at EQUAL -1)
        message(FATAL_ERROR "${file} names ${path}")
      endif()
    endforeach()
  endforeach()
endfunction()

function(expect text)
  foreach(part IN LISTS ARGN)
    string(FIND "${text}" "${part}" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "expected '${part}' in:\n${text}")
    endif()
  endforeach()
endfunction()
