# install.subproject: weft as a part of another project, by add_subdirectory and by FetchContent. Nothing of ours may
# reach that project's files. The library is built once more there, too dear for each run of the suite: one file of it
# and the project's own are compiled. With -DCOMPLETE=ON (./weft check install) all is built, and the program runs.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")

foreach(way add_subdirectory FetchContent)
  run(${configure} -S "${CMAKE_CURRENT_LIST_DIR}/subproject" -B "${work}/${way}" "-DWEFT_SOURCE=${SOURCE}"
      "-DWAY=${way}" --log-level=WARNING)

  # Commands that compile the project's own file.
  file(READ "${work}/${way}/compile_commands.json" commands)
  string(JSON count LENGTH "${commands}")
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON file GET "${commands}" ${i} file)
    string(JSON command GET "${commands}" ${i} command)
    if(file MATCHES "/line\\.cpp$")
      expect("${command}" "-std=gnu++23" "-isystem")
      foreach(flag -ffp-contract -fno-math-errno -Wconversion -Wpedantic -fmacro-prefix-map -fopenmp -mavx)
        string(FIND "${command}" "${flag}" at)
        if(NOT at EQUAL -1)
          message(FATAL_ERROR "our ${flag} reached the user's file: ${command}")
        endif()
      endforeach()
    elseif(NOT file MATCHES "^${SOURCE}/(graph|runtime|ops|autodiff|optim|inspect|nn|io|testing)/")
      message(FATAL_ERROR "more than the library is built: ${file}")
    endif()
  endforeach()
endforeach()

set(build "${CMAKE_COMMAND}" --build "${work}/add_subdirectory" --target)
if(COMPLETE)
  run(${build} program)
  run("${work}/add_subdirectory/program")
else()
  run(${build} weft/CMakeFiles/weft.dir/graph/shape.cpp.o CMakeFiles/program.dir/${CMAKE_CURRENT_LIST_DIR}/consumer/line.cpp.o)
endif()
