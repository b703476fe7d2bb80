# layout.sizes: no source over 500 lines; split by variant or by part, never by direction.
# Run as: cmake -DROOT=<source folder> -P sizes.cmake
cmake_minimum_required(VERSION 3.25)
set(cap 500)

set(faults "")
foreach(folder graph runtime ops autodiff optim inspect nn io testing tests examples bench cmake)
  file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/${folder}/*.h" "${ROOT}/${folder}/*.cpp"
       "${ROOT}/${folder}/*.cmake")
  foreach(file IN LISTS files)
    file(READ "${ROOT}/${file}" text)
    string(REGEX REPLACE "[^\n]" "" newlines "${text}")
    string(LENGTH "${newlines}" lines)
    if(lines GREATER cap)
      string(APPEND faults "  ${file}: ${lines} lines\n")
    endif()
  endforeach()
endforeach()

if(faults)
  message(FATAL_ERROR "Files over ${cap} lines:\n${faults}")
endif()
