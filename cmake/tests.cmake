add_library(clm_testing STATIC tests/support/near.c tests/support/temp.c)
target_include_directories(clm_testing PUBLIC tests)
target_link_libraries(clm_testing PUBLIC clm_core clm_base PkgConfig::CMOCKA m)

# clm_unit(LAYER MODULE...): one executable tests/unit/LAYER/test_MODULE.c a module, ctest unit.LAYER.MODULE
function(clm_unit layer)
  foreach(module IN LISTS ARGN)
    add_executable(test_${module} tests/unit/${layer}/test_${module}.c)
    target_link_libraries(test_${module} PRIVATE clm_testing clm_${layer})
    add_test(NAME unit.${layer}.${module} COMMAND test_${module})
    set_tests_properties(unit.${layer}.${module} PROPERTIES TIMEOUT 300 LABELS unit SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

