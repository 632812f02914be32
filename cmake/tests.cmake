add_library(clm_testing STATIC tests/support/fault.c tests/support/near.c tests/support/speckle.c
  tests/support/temp.c tests/support/toy.c)
target_include_directories(clm_testing PUBLIC tests)
target_compile_definitions(clm_testing PUBLIC CLM_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_libraries(clm_testing PUBLIC clm_core clm_base PkgConfig::CMOCKA m)

# Tests that start threads: these alone are built and run under ThreadSanitizer (target clm_tsan).
set(CLM_TSAN_LAYERS cluster)
set(CLM_TSAN_MODULES array whole_run)
add_custom_target(clm_tsan)

# clm_unit(LAYER MODULE...): one executable tests/unit/LAYER/test_MODULE.c a module, ctest unit.LAYER.MODULE
function(clm_unit layer)
  foreach(module IN LISTS ARGN)
    add_executable(test_${module} tests/unit/${layer}/test_${module}.c)
    target_link_libraries(test_${module} PRIVATE clm_testing clm_${layer})
    add_test(NAME unit.${layer}.${module} COMMAND test_${module})
    set(labels unit)
    if(layer IN_LIST CLM_TSAN_LAYERS OR module IN_LIST CLM_TSAN_MODULES)
      list(APPEND labels tsan)
      add_dependencies(clm_tsan test_${module})
    endif()
    set_tests_properties(unit.${layer}.${module} PROPERTIES TIMEOUT 300 LABELS "${labels}" SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

# clm_mpi(MODULE RANKS...): tests/mpi/test_MODULE.c run under mpirun once for each count of ranks. Not built with
# sanitizers: MPI's own reports would drown ours.
function(clm_mpi module)
  if(CLM_SANITIZE)
    return()
  endif()
  add_executable(test_mpi_${module} tests/mpi/test_${module}.c)
  target_link_libraries(test_mpi_${module} PRIVATE clm_testing clm_cluster)
  foreach(ranks IN LISTS ARGN)
    add_test(NAME mpi.${module}.${ranks}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/support/mpirun -n ${ranks} $<TARGET_FILE:test_mpi_${module}>)
    set_tests_properties(mpi.${module}.${ranks} PROPERTIES TIMEOUT 120 LABELS mpi PROCESSORS ${ranks} RESOURCE_LOCK mpi
      SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

# clm_fuzz(LAYER NAME LIBRARY...): tests/fuzz/NAME.c fed with mutated seeds, see tests/support/fuzz.h
function(clm_fuzz layer name)
  add_executable(fuzz_${name} tests/fuzz/${name}.c)
  target_link_libraries(fuzz_${name} PRIVATE clm_testing clm_${layer} ${ARGN})
  if(CLM_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_executable(seed_${name} tests/fuzz/${name}.c tests/support/fuzz_main.c)
    target_link_libraries(seed_${name} PRIVATE clm_testing clm_${layer} ${ARGN})
    add_dependencies(fuzz_${name} seed_${name})
    return()
  endif()
  target_sources(fuzz_${name} PRIVATE tests/support/fuzz_main.c)
  add_test(NAME fuzz.${name} COMMAND fuzz_${name})
  set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 300 LABELS "unit;fuzz")
endfunction()

# clm_e2e(NAME [PROCESSORS]): tests/e2e/NAME.sh drives the program itself; see tests/e2e/lib.sh.
function(clm_e2e name)
  if(NOT TARGET collimate OR CLM_SANITIZE)
    return()
  endif()
  set(processors 2)
  if(ARGC GREATER 1)
    set(processors ${ARGV1})
  endif()
  add_test(NAME e2e.${name} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/e2e/${name}.sh)
  set_tests_properties(e2e.${name} PROPERTIES TIMEOUT 300 LABELS e2e PROCESSORS ${processors}
    SKIP_RETURN_CODE 77 ENVIRONMENT "COLLIMATE=$<TARGET_FILE:collimate>")
endfunction()

# clm_style(NAME SCRIPT ARGUMENT...): a check of the sources themselves, no compiler needed
function(clm_style name script)
  add_test(NAME style.${name} COMMAND ${PROJECT_SOURCE_DIR}/scripts/${script} ${ARGN})
  set_tests_properties(style.${name} PROPERTIES TIMEOUT 120 LABELS style)
endfunction()

clm_style(format format --check)
clm_style(layers check_layers)
clm_style(banned check_banned)
clm_style(size check_size)
clm_style(paths check_paths)
clm_style(checks ../tests/style/test_checks.sh) # the checks themselves
clm_style(e2e_lib ../tests/style/test_e2e_lib.sh)
clm_style(peers_bugs ../tests/style/test_peers_bugs.sh)

# The tests, a line or more a layer, lowest first.
clm_unit(base arena crc err file heap json rng room slab text)
clm_unit(core affine affine_root box buckets dtype field linalg vol)
clm_unit(codec codec)
clm_unit(store array files image nifti spill validate vectors)
clm_unit(store bdv hdf5 read shard torn volume)
target_link_libraries(test_hdf5 PRIVATE PkgConfig::HDF5)
target_link_libraries(test_files PRIVATE PkgConfig::HDF5 PkgConfig::TIFF)
clm_unit(plan grid order stitch)
clm_unit(image filter foreground holes jacobian phantom truth lncc metric overlap parzen quantile reduce seam warp warp_wide)
clm_unit(align blob centre deform deform_floor deform_parts landmarks lattice match panels ransac refine turn)
clm_unit(app demo picture)
clm_unit(app args blocks ordered whole_run)
clm_unit(cluster aside comm deal exec exec_fork journal master run sched simulate wire)
target_sources(test_simulate PRIVATE tests/support/simulate.c)
clm_mpi(run 1 2 3)
if(TARGET test_mpi_run)
  add_test(NAME mpi.kill COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/kill.sh $<TARGET_FILE:test_mpi_run> 5)
  set_tests_properties(mpi.kill PROPERTIES TIMEOUT 120 LABELS mpi RESOURCE_LOCK mpi) # mostly waits
endif()

clm_unit(base csv)
clm_unit(transform graph transform)
clm_unit(job apply evaluate foreign map point_list properties root transform_out)

# The conformance set beside the project: every array in scope, by a small program and the set's own runner.
add_executable(clm_dump_array tests/tools/dump.c)
target_link_libraries(clm_dump_array PRIVATE clm_store)
add_executable(clm_rewrite_array tests/tools/rewrite.c)
target_link_libraries(clm_rewrite_array PRIVATE clm_store)
add_executable(clm_store_bench tests/tools/store_bench.c)
target_link_libraries(clm_store_bench PRIVATE clm_store)
add_executable(clm_store_ratios tests/tools/store_ratios.c)
target_link_libraries(clm_store_ratios PRIVATE clm_store Threads::Threads)
target_include_directories(clm_store_ratios PRIVATE tests)
add_executable(clm_apply_ratios tests/tools/apply_ratios.c)
target_link_libraries(clm_apply_ratios PRIVATE clm_job)
add_executable(clm_deform_ratios tests/tools/deform_ratios.c)
target_link_libraries(clm_deform_ratios PRIVATE clm_align)
add_executable(clm_simulate tests/tools/simulate.c tests/support/simulate.c)
target_include_directories(clm_simulate PRIVATE tests)
target_link_libraries(clm_simulate PRIVATE clm_cluster clm_job)
add_executable(clm_idle tests/tools/idle.c tests/support/temp.c)
target_include_directories(clm_idle PRIVATE tests)
target_link_libraries(clm_idle PRIVATE clm_cluster)
add_test(NAME conformance.arrays
  COMMAND ${PROJECT_SOURCE_DIR}/tests/support/conformance $<TARGET_FILE:clm_dump_array>)
set_tests_properties(conformance.arrays PROPERTIES TIMEOUT 300 LABELS "unit;data" SKIP_RETURN_CODE 77)

clm_e2e(phantom)
clm_e2e(transform_points)
clm_e2e(landmarks)
clm_e2e(compose 3)
clm_e2e(convert 3)

clm_fuzz(base json)
clm_fuzz(codec codec BZip2::BZip2 PkgConfig::LZMA)
clm_fuzz(store array)
clm_fuzz(store bdv)
clm_fuzz(transform metadata)
clm_fuzz(store hdf5)
clm_fuzz(store hdf5_file PkgConfig::HDF5)
if(NOT CLM_FUZZ)
  set_tests_properties(fuzz.hdf5_file PROPERTIES ENVIRONMENT CLM_FUZZ_RUNS=300) # each writes a file
endif()
clm_fuzz(store volume PkgConfig::TIFF)
clm_fuzz(cluster wire)
clm_unit(job config global jobs missing floor)
clm_e2e(bad_input)
clm_e2e(expansion)
clm_e2e(ranks 4)
clm_e2e(blocks)
clm_e2e(memory)
clm_e2e(foreground 3)
clm_e2e(seams 3)
clm_e2e(isolate)
clm_e2e(folder)
clm_e2e(network 3)
clm_e2e(security)
if(TARGET collimate AND CLM_FAULTS) # in sanitizer builds
  add_test(NAME faults COMMAND ${PROJECT_SOURCE_DIR}/scripts/faults --some 1)
  add_test(NAME faults.info COMMAND ${PROJECT_SOURCE_DIR}/scripts/faults --job info) # few enough for all
  set_tests_properties(faults faults.info PROPERTIES TIMEOUT 900 LABELS faults COST 1000
    ENVIRONMENT "COLLIMATE=$<TARGET_FILE:collimate>")
endif()
clm_e2e(torture 4)
clm_e2e(supervise)
clm_e2e(huge)
# These mostly wait, for silence and for pauses, so others run beside them; the longest begin first.
clm_e2e(hosts 1) # skips where namespaces cannot be made
clm_e2e(slurm 1) # skips without SLURM and root
if(TEST e2e.slurm)
  set_tests_properties(e2e.hosts PROPERTIES TIMEOUT 600 LABELS "e2e;slow" COST 1000)
  set_tests_properties(e2e.slurm PROPERTIES TIMEOUT 1200 LABELS "e2e;slow" COST 3000)
endif()

# Live peers in a venv of their own; skipped where they cannot be had.
if(TARGET collimate AND NOT CLM_SANITIZE)
  add_test(NAME interop COMMAND ${PROJECT_SOURCE_DIR}/scripts/interop)
  set_tests_properties(interop PROPERTIES TIMEOUT 900 LABELS interop COST 2000 SKIP_RETURN_CODE 77
    ENVIRONMENT "COLLIMATE=$<TARGET_FILE:collimate>")
endif()
clm_e2e(apply)

# Errors against known warps: the small rows of accuracy/results.csv, made again.
if(TARGET collimate AND NOT CLM_SANITIZE)
  add_test(NAME accuracy.phantom COMMAND ${PROJECT_SOURCE_DIR}/scripts/accuracy --quick --check $<TARGET_FILE:collimate>)
  set_tests_properties(accuracy.phantom PROPERTIES TIMEOUT 120 LABELS accuracy PROCESSORS 2)
endif()
clm_e2e(evaluate)
