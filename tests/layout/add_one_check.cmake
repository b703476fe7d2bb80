# layout.add_one: the copy that add_one.cmake made passes what a change must pass: the layout tests, the page of ops once its
# row is there, the generated checks of the op, the test of the transform.
# Run as: cmake -DROOT=<source folder> -DCOPY=<copy> -DBUILD=<build folder> -DOPS=<program> -DTESTS=<program> -P add_one_check.cmake
cmake_minimum_required(VERSION 3.25)

macro(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
endmacro()
macro(must_pass)
  run(${ARGN})
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
endmacro()

must_pass("${CMAKE_COMMAND}" "-DROOT=${ROOT}" "-DCOPY=${COPY}" -P "${CMAKE_CURRENT_LIST_DIR}/add_one.cmake")
must_pass("${CMAKE_COMMAND}" --build "${BUILD}" --target added_ops added_tests)
foreach(check includes headers sizes transforms snippets from_pytorch)
  must_pass("${CMAKE_COMMAND}" "-DROOT=${COPY}" -P "${COPY}/tests/layout/${check}.cmake")
endforeach()

# The generated page has not the op yet, and lacks nothing else.
run("${OPS}" --check "${COPY}/docs/ops.md")
string(REGEX MATCHALL "has no row: [^\n]*" missing "${output}")
list(LENGTH missing count)
if(result EQUAL 0 OR NOT count EQUAL 1 OR NOT output MATCHES "has no row: (\\| `third` [^\n]*)")
  message(FATAL_ERROR "docs/ops.md should lack the row of `third`:\n${output}")
endif()
file(READ "${COPY}/docs/ops.md" page)
string(REGEX REPLACE "\n(\\| `tanh` )" "\n${CMAKE_MATCH_1} - | - | 0 |\n\\1" page "${page}")
file(WRITE "${COPY}/docs/ops.md" "${page}")
must_pass("${OPS}" --check "${COPY}/docs/ops.md")
must_pass("${OPS}" --run third)
must_pass("${TESTS}")
