# A Debian package: cpack --config build/release/CPackConfig.cmake -B build/release, or `./weft package`.
# Of the libraries that are linked into a user's program it wants the ABI that this build saw.
function(weft_major_range result package version)
  string(REGEX MATCH "^[0-9]+" major "${version}")
  math(EXPR next "${major} + 1")
  set(${result} "${package} (>= ${major}), ${package} (<< ${next})" PARENT_SCOPE)
endfunction()

file(STRINGS "${WEFT_dnnl_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h" dnnl_major REGEX "define DNNL_VERSION_MAJOR")
string(REGEX MATCH "[0-9]+$" dnnl_major "${dnnl_major}")
weft_major_range(needs_dnnl libdnnl-dev "${dnnl_major}")
set(depends "libxtensor-dev (>= 0.24)" "${needs_dnnl}" libopenblas-openmp-dev)
if(fmt_VERSION)  # another project's fmt has none
  weft_major_range(needs_fmt libfmt-dev "${fmt_VERSION}")
  list(PREPEND depends "${needs_fmt}")
else()
  list(PREPEND depends libfmt-dev)
endif()
list(JOIN depends ", " CPACK_DEBIAN_PACKAGE_DEPENDS)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libweft-dev)
set(CPACK_PACKAGE_VENDOR "weft developers")
set(CPACK_PACKAGE_CONTACT "weft developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
"weft is a C++20 library: computation graphs with reverse-mode differentiation,
and training steps that are transformed as values (clipping, accumulation,
checkpointing, mixed precision) and proved equal.
.
This package holds the headers, the static library, and the files by which
CMake (find_package(weft)) and pkg-config (weft) find them.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES OFF)  # an archive without its symbols is empty
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "cmake, pkg-config, catch2")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)
include(CPack)
