# The layers, lowest first, and what each stands on; scripts/check_layers holds the includes to it.

clm_layer(base
  SOURCES arena.c crc.c csv.c err.c fault.c file.c heap.c json.c log.c rng.c room.c slab.c text.c
  LIBS PkgConfig::CJSON m)

clm_layer(core BELOW base
  SOURCES affine.c affine_root.c buckets.c dtype.c field.c linalg.c points.c vol.c
  LIBS m)

clm_layer(codec BELOW core base
  SOURCES codec.c codec_blosc.c codec_deflate.c codec_filter.c codec_json.c codec_lz4.c codec_lzf.c codec_xz.c
    codec_zstd.c
  LIBS PkgConfig::BLOSC PkgConfig::ZSTD PkgConfig::DEFLATE PkgConfig::LZ4 PkgConfig::LZMA BZip2::BZip2)

clm_layer(store BELOW codec core base
  SOURCES array.c bdv.c cache.c chunks.c dump.c file_array.c flat.c hdf5.c hdf5_levels.c hdf5_parts.c
    hdf5_read.c image.c memory.c n5.c nifti.c node.c nrrd.c ome.c open.c pipe.c read.c rules.c rules_image.c
    rules_screen.c rules_transform.c scale_n5.c scale_ome.c shard.c shard_put.c spill.c tiff.c validate.c
    vectors.c volume.c zarr.c zarr2.c zarr3.c
  LIBS PkgConfig::HDF5 PkgConfig::TIFF Threads::Threads m)

clm_layer(plan BELOW core base
  SOURCES grid.c order.c stitch.c)

clm_layer(image BELOW core base
  SOURCES cells.c filter.c foreground.c holes.c jacobian.c lncc.c metric.c noise.c overlap.c parzen.c phantom.c
    quantile.c reduce.c rowmap.c scene.c seam.c truth.c tubes.c warp.c warp_wide.c
  LIBS m)

clm_layer(align BELOW image core base
  SOURCES blob.c centre.c deform.c deform_cells.c deform_evidence.c deform_floor.c deform_lncc.c deform_mend.c
    deform_pass.c deform_sample.c deform_solve.c deform_splat.c deform_window.c global.c landmarks.c
    landmarks_solve.c lattice.c lattice_block.c lattice_field.c lattice_levels.c lattice_solve.c match.c panels.c
    patch.c pose.c ransac.c refine.c refine_sums.c spots.c turn.c
  LIBS m)

clm_layer(transform BELOW plan image store core base
  SOURCES elastix.c field_file.c field_volume.c foreign.c graph.c graph_load.c inverse.c itk.c itk_file.c map.c
    map_open.c map_points.c map_scene.c nfield.c nfield_back.c root.c tform.c tform_apply.c tform_field.c
    tform_leaf.c transform.c transform_out.c transform_write.c
  LIBS m)

clm_layer(cluster BELOW plan core base
  SOURCES collector.c comm.c comm_local.c comm_mpi.c deal.c epoch.c exec_fork.c exec_threads.c flight.c journal.c
    master.c run.c sched.c seal.c server.c side.c spent.c wire.c worker.c
  LIBS MPI::MPI_C Threads::Threads m)

# The presets of config/presets/ become part of the program.
set(PRESET_NAMES "")
set(PRESET_TEXTS "")
foreach(preset IN ITEMS expansion brain-mr light-sheet em quick)
  set(file ${PROJECT_SOURCE_DIR}/config/presets/${preset}.json)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n" text "${text}")
  string(APPEND PRESET_NAMES "\"${preset}\", ")
  string(APPEND PRESET_TEXTS "\"${text}\", ")
endforeach()
configure_file(src/job/presets.c.in presets.c @ONLY)

clm_layer(job BELOW transform plan align image store core base
  SOURCES align_run.c apply_run.c apply_spec.c budget.c compose.c compose_root.c compose_spec.c compose_task.c
    config.c convert.c evaluate_field.c evaluate_finish.c evaluate_images.c evaluate_labels.c evaluate_marks.c
    evaluate_parts.c evaluate_run.c evaluate_spec.c evaluate_spread.c feature_params.c folder.c job.c
    job_apply.c job_check.c job_coarse.c job_deform.c job_finish.c job_foreground.c job_global.c job_lattice.c
    job_local.c job_measure.c job_metrics.c job_spots.c job_stiffness.c job_stitch.c landmark_files.c mask.c output.c
    point_list.c point_table.c points_run.c record.c resample.c shared.c view.c
  LIBS m)
target_sources(clm_job PRIVATE ${PROJECT_BINARY_DIR}/presets.c)

clm_layer(app BELOW cluster job transform plan align image store core base
  SOURCES args.c cmd_align.c cmd_apply.c cmd_compose.c cmd_convert.c cmd_dump.c cmd_evaluate.c cmd_info.c
    cmd_landmarks.c cmd_phantom.c cmd_plan.c cmd_points.c cmd_report.c cmd_status.c cmd_transform_points.c
    cmd_validate.c commands.c demo_check.c demo_write.c describe.c each.c evaluation.c font.c isolate.c launch.c
    options.c ordered.c picture.c plane.c report.c report_draw.c report_field.c slices.c tally.c truth_json.c
  LIBS PNG::PNG Threads::Threads m)

add_executable(collimate src/app/main.c)
target_link_libraries(collimate PRIVATE clm_app)
install(TARGETS collimate)
