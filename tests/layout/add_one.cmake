# A copy of the sources to which an op and a transform are added, each in the places that CONTRIBUTING.md names and in no
# other: the op in its family's pair of files, the transform as a pair, its test and its row.
# Run as: cmake -DROOT=<source folder> -DCOPY=<new folder> -P add_one.cmake
cmake_minimum_required(VERSION 3.25)
set(added "${CMAKE_CURRENT_LIST_DIR}/added")

file(REMOVE_RECURSE "${COPY}")
file(COPY "${ROOT}/" DESTINATION "${COPY}" PATTERN ".git" EXCLUDE PATTERN "build" EXCLUDE)

# Puts `text` before the last line that is `anchor`.
function(insert file anchor text)
  file(READ "${COPY}/${file}" content)
  string(FIND "${content}" "${anchor}" at REVERSE)
  if(at EQUAL -1)
    message(FATAL_ERROR "${file} has no line: ${anchor}")
  endif()
  string(SUBSTRING "${content}" 0 ${at} before)
  string(SUBSTRING "${content}" ${at} -1 after)
  file(WRITE "${COPY}/${file}" "${before}${text}\n${after}")
endfunction()

# An op: ops/reduce/scan.h and .cpp.
file(READ "${added}/op.h.in" declaration)
file(READ "${added}/op.cpp.in" definition)
file(READ "${added}/op_kernel.cpp.in" kernel)
insert(ops/reduce/scan.h "}  // namespace weft" "${declaration}")
insert(ops/reduce/scan.cpp "void register_scan() {" "${kernel}\n${definition}")
insert(ops/reduce/scan.cpp "registry().add(cumsum_op());" "registry().add(third_op());")

# A transform: a pair, its test, its row.
foreach(place optim/halve_gradients.h optim/halve_gradients.cpp tests/optim/halve_gradients_test.cpp)
  cmake_path(GET place FILENAME name)
  file(COPY_FILE "${added}/${name}.in" "${COPY}/${place}")
endforeach()
insert(docs/transforms.md "| `remove_taps()`"
       "| `halve_gradients()` | [halve_gradients.h](../optim/halve_gradients.h) | a change, with a law | each gradient / 2 |")
