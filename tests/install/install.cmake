# install.consumer: installs the build into a folder of its own, then configures, builds and runs a user's
# project against only what was installed.
# Run as: cmake -DBUILD=<build folder> -DCOMPILER=<c++> -DLAUNCHER=<ccache or empty> -P install.cmake
cmake_minimum_required(VERSION 3.25)

set(work "${BUILD}/tests/install")
set(prefix "${work}/prefix")
file(REMOVE_RECURSE "${work}")

execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${prefix}"
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

# Exported paths into the source or the build tree work on this machine and on no other.
file(GLOB_RECURSE package_files "${prefix}/*.cmake")
foreach(file IN LISTS package_files)
  file(READ "${file}" text)
  string(FIND "${text}" "${BUILD}" at)
  if(NOT at EQUAL -1)
    message(FATAL_ERROR "${file} names the build folder")
  endif()
endforeach()

execute_process(COMMAND "${CMAKE_COMMAND}" -G Ninja -S "${CMAKE_CURRENT_LIST_DIR}/consumer"
                        -B "${work}/consumer" "-DCMAKE_PREFIX_PATH=${prefix}"
                        "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
                        -DCMAKE_BUILD_TYPE=Release
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${work}/consumer" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${work}/consumer/consumer" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${work}/consumer/transform" COMMAND_ERROR_IS_FATAL ANY)
if(EXISTS "${work}/consumer/matcher")
  execute_process(COMMAND "${work}/consumer/matcher" COMMAND_ERROR_IS_FATAL ANY)
endif()
