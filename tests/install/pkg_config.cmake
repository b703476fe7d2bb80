# install.pkg_config: a program from one plain line of the compiler, by what `pkg-config weft` says of a moved prefix.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")

find_program(pkg_config pkg-config REQUIRED)
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${work}/installed" OUTPUT_QUIET)
expect_no_path_of_ours("${work}/installed")
file(RENAME "${work}/installed" "${work}/moved")
file(GLOB_RECURSE pc "${work}/moved/weft.pc")
cmake_path(GET pc PARENT_PATH folder)
set(ENV{PKG_CONFIG_PATH} "${folder}")

run("${pkg_config}" --validate weft)
execute_process(COMMAND "${pkg_config}" --cflags weft OUTPUT_VARIABLE cflags COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${pkg_config}" --libs weft OUTPUT_VARIABLE shared COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${pkg_config}" --libs --static weft OUTPUT_VARIABLE libs COMMAND_ERROR_IS_FATAL ANY)
expect("${cflags}" "${work}/moved")
expect("${shared}" "-lweft" "-lfmt")
expect("${libs}" "-lweft" "-lfmt" "-ldnnl" "-lopenblas")
if(shared MATCHES "dnnl")
  message(FATAL_ERROR "what only the archive needs belongs to Libs.private: ${shared}")
endif()

separate_arguments(flags UNIX_COMMAND "${cflags} ${libs}")
run(${LAUNCHER} "${COMPILER}" -std=c++20 -O1 -c "${CMAKE_CURRENT_LIST_DIR}/consumer/line.cpp" ${flags}
    -o "${work}/line.o")
run("${COMPILER}" "${work}/line.o" ${flags} -o "${work}/line")
run("${work}/line")
