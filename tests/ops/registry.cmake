# Read by ctest: an entry for each op of the registry, ops.registry.ROOM.OP, that runs the checks made from its samples. The
# list is what weft_ops said when it was built.
# Given: WEFT_OPS (the program and --run or --run-memory), WEFT_OPS_LIST, WEFT_OPS_TIMEOUT.
if(NOT EXISTS "${WEFT_OPS_LIST}")
  message(FATAL_ERROR "${WEFT_OPS_LIST} is made when weft_ops is built; hint: cmake --build --preset ...")
endif()
file(STRINGS "${WEFT_OPS_LIST}" ops)
foreach(line IN LISTS ops)
  string(REPLACE " " ";" words "${line}")
  list(GET words 0 room)
  list(GET words 1 op)
  string(REPLACE "/" "." room "${room}")
  set(name "ops.registry.${room}.${op}")
  add_test(${name} ${WEFT_OPS} ${op})
  set_tests_properties(${name} PROPERTIES LABELS "unit;ops" TIMEOUT ${WEFT_OPS_TIMEOUT})
endforeach()
