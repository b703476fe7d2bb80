# install.find_package: installs the build into a folder of its own, moves that elsewhere, then configures, builds and
# runs a user's project against only what was installed.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")

run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${work}/installed" OUTPUT_QUIET)
expect_no_path_of_ours("${work}/installed")
file(RENAME "${work}/installed" "${work}/moved")

run(${configure} -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${work}/consumer" "-DCMAKE_PREFIX_PATH=${work}/moved"
    -DCMAKE_BUILD_TYPE=Release)
run("${CMAKE_COMMAND}" --build "${work}/consumer")
run(ctest --test-dir "${work}/consumer" --output-on-failure --no-tests=error)
