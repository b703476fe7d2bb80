# layout.snippets: a C++ block in a document stands, as it is, in a compiled file. The line before the block names it:
#
#   <!-- from examples/010-first-step.cpp -->
#
# Run as: cmake -DROOT=<source folder> -P snippets.cmake
cmake_minimum_required(VERSION 3.25)

set(faults "")
file(GLOB_RECURSE documents RELATIVE "${ROOT}" "${ROOT}/docs/*.md")
list(REMOVE_ITEM documents docs/errors.md)  # generated: layout.errors
foreach(document IN ITEMS README.md CONTRIBUTING.md LISTS documents)
  file(READ "${ROOT}/${document}" rest)
  while(TRUE)
    string(FIND "${rest}" "\n```cpp\n" at)
    if(at EQUAL -1)
      break()
    endif()
    string(SUBSTRING "${rest}" 0 ${at} before)
    math(EXPR at "${at} + 8")
    string(SUBSTRING "${rest}" ${at} -1 rest)
    string(FIND "${rest}" "```" end)
    string(SUBSTRING "${rest}" 0 ${end} block)
    math(EXPR end "${end} + 3")
    string(SUBSTRING "${rest}" ${end} -1 rest)
    if(NOT before MATCHES "<!-- from ([^ ]+) -->$")
      string(APPEND faults "  ${document}: a C++ block without `<!-- from FILE -->` above it\n")
      continue()
    endif()
    set(source "${CMAKE_MATCH_1}")
    if(NOT EXISTS "${ROOT}/${source}")
      string(APPEND faults "  ${document}: ${source} does not exist\n")
      continue()
    endif()
    file(READ "${ROOT}/${source}" text)
    string(FIND "${text}" "${block}" found)
    if(found EQUAL -1)
      string(APPEND faults "  ${document}: the block from ${source} differs from the file\n")
    endif()
  endwhile()
endforeach()

if(faults)
  message(FATAL_ERROR "Documents and compiled sources differ:\n${faults}")
endif()
