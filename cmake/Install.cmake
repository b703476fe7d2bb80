# What an installed weft is: headers, the archive, and the files by which CMake (find_package(weft)) and pkg-config
# find both. No path in them leads back to the source or the build folder, and the prefix may be moved.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/weft")
foreach(header IN LISTS headers)
  cmake_path(GET header PARENT_PATH folder)
  install(FILES ${header} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/weft/${folder}")
endforeach()
install(FILES "${include_dir}/weft/weft.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/weft")
install(TARGETS weft EXPORT weftTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT weftTargets NAMESPACE weft:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/weftConfig.cmake.in "${PROJECT_BINARY_DIR}/weftConfig.cmake"
                              INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/weftConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/weftConfig.cmake" "${PROJECT_BINARY_DIR}/weftConfigVersion.cmake"
              cmake/Dependencies.cmake
        DESTINATION "${package_dir}")

# --- pkg-config --------------------------------------------------------------------------------------
# Link flags of a library: -lNAME, and its folder where the linker would not look. The run path follows the folder:
# the loader must not take another build of OpenBLAS for the OpenMP one.
function(weft_link_flags result location)
  cmake_path(GET location PARENT_PATH folder)
  cmake_path(GET location STEM name)
  string(REGEX REPLACE "^lib" "" name "${name}")
  set(flags "-l${name}")
  if(NOT folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    set(flags "-L${folder} -Wl,-rpath,${folder} ${flags}")
  endif()
  set(${result} "${flags}" PARENT_SCOPE)
endfunction()

weft_link_flags(dnnl_flags "${WEFT_dnnl_LIBRARY}")
weft_link_flags(cblas_flags "${WEFT_cblas_LIBRARY}")
set(WEFT_PC_LIBS "${dnnl_flags} ${cblas_flags}")
if(WEFT_THREADS STREQUAL "openmp")
  foreach(name IN LISTS OpenMP_CXX_LIB_NAMES)
    string(APPEND WEFT_PC_LIBS " -l${name}")
  endforeach()
else()
  string(APPEND WEFT_PC_LIBS " ${CMAKE_THREAD_LIBS_INIT}")
endif()
set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH WEFT_PC_PREFIX "/prefix/${pc_dir}" "/prefix")
configure_file(cmake/weft.pc.in "${PROJECT_BINARY_DIR}/weft.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/weft.pc" DESTINATION "${pc_dir}")

# The licence, where Debian looks for it.
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/libweft-dev" RENAME copyright)

if(PROJECT_IS_TOP_LEVEL)
  include(cmake/Package.cmake)
endif()
