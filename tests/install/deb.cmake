# install.deb: the Debian package is made, its control fields and its files are read, and a user's project is built
# against what it unpacks to.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")

find_program(dpkg_deb dpkg-deb REQUIRED)
get_filename_component(cmake_folder "${CMAKE_COMMAND}" DIRECTORY)
find_program(cpack cpack HINTS "${cmake_folder}" REQUIRED)
run("${cpack}" --config "${BUILD}/CPackConfig.cmake" -G DEB -B "${work}" OUTPUT_QUIET)
file(GLOB deb "${work}/libweft-dev_*.deb")

function(field name pattern)
  execute_process(COMMAND "${dpkg_deb}" -f "${deb}" "${name}" OUTPUT_VARIABLE value COMMAND_ERROR_IS_FATAL ANY)
  if(NOT value MATCHES "${pattern}")
    message(FATAL_ERROR "${name}: expected ${pattern}, got ${value}")
  endif()
endfunction()
field(Package "^libweft-dev\n$")
field(Version "^[0-9]+\\.[0-9]+\\.[0-9]+\n$")
field(Section "^libdevel\n$")
field(Maintainer "^weft developers")
field(Architecture "^[a-z0-9]+\n$")
field(Description "^Training steps as values.*find_package\\(weft\\)")
foreach(package libfmt-dev libxtensor-dev libdnnl-dev libopenblas-openmp-dev)
  field(Depends "${package}")
endforeach()

# As ./weft installs them for a build, so that what is wanted exists.
file(READ "${SOURCE}/weft" script)
execute_process(COMMAND "${dpkg_deb}" -f "${deb}" Depends OUTPUT_VARIABLE depends COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "lib[a-z0-9-]+" packages "${depends}")
foreach(package IN LISTS packages)
  expect("${script}" "${package}")
endforeach()

execute_process(COMMAND "${dpkg_deb}" -c "${deb}" OUTPUT_VARIABLE files COMMAND_ERROR_IS_FATAL ANY)
expect("${files}" "./usr/include/weft/weft.h" "./usr/include/weft/graph/graph.h" "/libweft.a" "/cmake/weft/weftConfig.cmake"
       "/pkgconfig/weft.pc" "./usr/share/doc/libweft-dev/copyright")
string(REGEX MATCHALL "[^\n]+" files "${files}")
foreach(file IN LISTS files)
  if(NOT file MATCHES "root/root .* \\./(usr/((include|lib|share)/.*)?)?$")
    message(FATAL_ERROR "a file where none belongs, or not of root: ${file}")
  endif()
endforeach()

run("${dpkg_deb}" -x "${deb}" "${work}/root")
expect_no_path_of_ours("${work}/root")
run(${configure} -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${work}/consumer" "-DCMAKE_PREFIX_PATH=${work}/root/usr")
run("${CMAKE_COMMAND}" --build "${work}/consumer" --target line)
run(ctest --test-dir "${work}/consumer" -R "^line$" --output-on-failure --no-tests=error)
