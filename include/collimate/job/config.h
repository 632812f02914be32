/* Everything that says what a run does: one struct, one table of keys. A key's default, range, unit and
 * meaning stand in the table below and nowhere else; config/keys.md is checked against it. */
#ifndef CLM_JOB_CONFIG_H
#define CLM_JOB_CONFIG_H

#include "collimate/base/heap.h"
#include "collimate/base/json.h"

#define CLM_LIST_MAX 8

typedef struct clm_list {
    int64_t n;
    double v[CLM_LIST_MAX];
} clm_list;

/* K(kind, C type, field, key, default as JSON, least, most (or for TEXT the choices), meaning)
 * An empty list means "not given". A key ends in its unit: um (micrometres), vox (voxels of the working
 * level), mib (2^20 bytes), mvox (2^20 voxels), s (seconds). */
#define CLM_CONFIG_KEYS(K)                                                                                   \
    K(TEXT, char *, fixed, "fixed", "\"\"", 0, 0, "", "the fixed image: an array or a pyramid (N5, Zarr)")   \
    K(TEXT, char *, moving, "moving", "\"\"", 0, 0, "", "the moving image")                                  \
    K(TEXT, char *, out, "out", "\"\"", 0, 0, "",                                                            \
      "the run folder: made, or resumed when it holds this same job")                                        \
    K(LIST, clm_list, fixed_spacing_um, "fixed_spacing_um", "[]", 1e-6, 1e6, "",                             \
      "overrides the fixed image's spacing, z y x")                                                          \
    K(LIST, clm_list, moving_spacing_um, "moving_spacing_um", "[]", 1e-6, 1e6, "",                           \
      "overrides the moving image's spacing, z y x")                                                         \
    K(INT, int64_t, fixed_channel, "fixed_channel", "-1", -1, 4095, "",                                      \
      "channel of the fixed image to align by; -1: it has only one")                                         \
    K(INT, int64_t, moving_channel, "moving_channel", "-1", -1, 4095, "",                                    \
      "channel of the moving image to align by and to resample; -1: it has only one")                        \
    K(INT, int64_t, seed, "seed", "1", 0, 9007199254740992.0, "",                                            \
      "of all random choices; the same seed gives the same bytes")                                           \
    K(INT, int64_t, threads, "threads", "0", 0, 1024, "",                                                    \
      "compute threads a rank; 0: this rank's share of the machine's cores, as far as memory allows")        \
    K(REAL, double, memory_task_mib, "memory.task_mib", "4096", 8, 1048576, "",                              \
      "most memory of one task; a task that needs more fails as a reported block")                           \
    K(REAL, double, memory_cache_mib, "memory.cache_mib", "0", 0, 1048576, "",                               \
      "decoded input chunks kept by each thread; 0: twice what a block of the finest pass reads of both, "   \
      "80 at most")                                                                                          \
    K(TEXT, char *, fixed_mask, "fixed_mask", "\"\"", 0, 0, "",                                              \
      "array that says where the fixed image is to be aligned: above 0; any resolution")                     \
    K(TEXT, char *, moving_mask, "moving_mask", "\"\"", 0, 0, "",                                            \
      "the same of the moving image; what is written is not masked")                                         \
    K(LIST, clm_list, mask_fixed_background, "mask.fixed_background", "[]", -1e30, 1e30, "",                 \
      "fixed voxels of exactly these values take no part")                                                   \
    K(LIST, clm_list, mask_moving_background, "mask.moving_background", "[]", -1e30, 1e30, "",               \
      "moving voxels of exactly these values take no part")                                                  \
    K(BOOL, bool, mask_fixed_foreground, "mask.fixed_foreground", "false", 0, 0, "",                         \
      "of the fixed image only the foreground takes part, found by the program; written to the run folder")  \
    K(BOOL, bool, mask_moving_foreground, "mask.moving_foreground", "false", 0, 0, "",                       \
      "the same of the moving image")                                                                        \
    K(REAL, double, align_spacing_um, "align.spacing_um", "0", 0, 1e6, "",                                   \
      "finest voxel spacing the alignment works at; 0: the fixed image's own")                               \
    K(TEXT, char *, global_method, "global.method", "\"auto\"", 0, 0, "auto|blobs|centre|identity|given",    \
      "how the global affine begins: from blobs, from the middles and centres of mass of the images laid "   \
      "over each other, from where the metadata put them, or as global.affine says (as it is); auto: blobs " \
      "and, where they find nothing or few of many agree, the images if the result stands out")              \
    K(LIST16, clm_list16, global_affine, "global.affine", "[]", -1e12, 1e12, "",                             \
      "starting affine fixed to moving in micrometres, z y x, 12 numbers row by row; method given uses it")  \
    K(TEXT, char *, global_metric, "global.metric", "\"ncc\"", 0, 0, "ncc|mi",                               \
      "what the global and local affines are refined by; mi: mutual information, for another modality")      \
    K(REAL, double, global_max_mvox, "global.max_mvox", "4", 0.001, 4096, "",                                \
      "the global stage works at the spacing of the alignment, or at the first multiple of it "              \
      "at which both images have at most this many voxels")                                                  \
    K(REAL, double, global_radius_min_um, "global.radius_min_um", "0", 0, 1e6, "",                           \
      "smallest blob radius; 0: 1.5 voxels of the working level")                                            \
    K(REAL, double, global_radius_max_um, "global.radius_max_um", "0", 0, 1e6, "",                           \
      "largest blob radius; 0: 4 voxels of the working level")                                               \
    K(INT, int64_t, global_max_spots, "global.max_spots", "4000", 20, 200000, "",                            \
      "blobs kept a volume, spread over it, clearest first")                                                 \
    K(REAL, double, global_patch_radius_um, "global.patch_radius_um", "0", 0, 1e6, "",                       \
      "radius of the neighbourhood that two blobs are compared by; 0: 6 voxels of the working level")        \
    K(REAL, double, global_min_correlation, "global.min_correlation", "0.5", 0, 1, "",                       \
      "least correlation of matching neighbourhoods")                                                        \
    K(REAL, double, global_max_distance_um, "global.max_distance_um", "0", 0, 1e9, "",                       \
      "farthest a blob may move before any alignment; 0: no limit")                                          \
    K(REAL, double, global_max_error_um, "global.max_error_um", "0", 0, 1e6, "",                             \
      "a match agrees with the affine within this; 0: 4 voxels of the working level")                        \
    K(INT, int64_t, global_min_inliers, "global.min_inliers", "12", 4, 1000000, "",                          \
      "fewer agreeing matches are an error")                                                                 \
    K(BOOL, bool, global_any_rotation, "global.any_rotation", "false", 0, 0, "",                             \
      "the images may be turned by any angle; without it by up to about 20 degrees, and by any where the "   \
      "method is auto and upright too few blobs agree")                                                      \
    K(TEXT, char *, global_model, "global.model", "\"affine\"", 0, 0, "translation|rigid|similarity|affine", \
      "the most general model the global stage may fit")                                                     \
    K(TEXT, char *, global_contrast, "global.contrast", "\"same\"", 0, 0, "same|inverted|any",               \
      "inverted: what is bright in one image is dark in the other; any: whichever more blobs agree on")      \
    K(BOOL, bool, global_refine, "global.refine", "true", 0, 0, "", "refine the affine on intensities")      \
    K(BOOL, bool, local_enabled, "local.enabled", "true", 0, 0, "", "local affines per block")               \
    K(REAL, double, local_factor, "local.factor", "2", 1, 64, "",                                            \
      "reduction of the level that local affines are found at, against the alignment level")                 \
    K(INT, int64_t, local_block_vox, "local.block_vox", "40", 16, 2048, "",                                  \
      "block edge in voxels of that level")                                                                  \
    K(INT, int64_t, local_halo_vox, "local.halo_vox", "12", 0, 1024, "", "overlap on every side of a block") \
    K(INT, int64_t, local_max_spots, "local.max_spots", "800", 20, 100000, "",                               \
      "blobs kept a block and volume")                                                                       \
    K(REAL, double, local_search_um, "local.search_um", "0", 0, 1e6, "",                                     \
      "farthest a match may lie from where the global affine puts it; 0: 12 voxels")                         \
    K(REAL, double, local_min_correlation, "local.min_correlation", "0.5", 0, 1, "",                         \
      "least correlation of matching neighbourhoods")                                                        \
    K(REAL, double, local_max_error_um, "local.max_error_um", "0", 0, 1e6, "",                               \
      "a match agrees with its block's affine within this; 0: 2.5 voxels")                                   \
    K(INT, int64_t, local_min_inliers, "local.min_inliers", "10", 4, 1000000, "",                            \
      "a block with fewer agreeing matches abstains")                                                        \
    K(BOOL, bool, local_refine, "local.refine", "true", 0, 0, "",                                            \
      "where a block's blobs say too little, fit its affine on its voxels")                                  \
    K(REAL, double, local_smoothness, "local.smoothness", "1", 0, 1e6, "",                                   \
      "how strongly neighbouring block affines must agree; 1 is usual")                                      \
    K(BOOL, bool, deform_enabled, "deform.enabled", "true", 0, 0, "", "deformable fields per block")         \
    K(LIST, clm_list, deform_factors, "deform.factors", "[4, 2, 1]", 1, 64, "",                              \
      "passes, coarse to fine: reduction against the alignment level")                                       \
    K(LIST, clm_list, deform_iterations, "deform.iterations", "[8, 6, 3]", 1, 1000, "",                      \
      "most iterations a pass; the last number serves the passes beyond it")                                 \
    K(INT, int64_t, deform_block_vox, "deform.block_vox", "128", 16, 2048, "",                               \
      "block edge in voxels of the pass")                                                                    \
    K(INT, int64_t, deform_halo_vox, "deform.halo_vox", "20", 0, 1024, "",                                   \
      "overlap on every side of a block in voxels of the pass")                                              \
    K(INT, int64_t, deform_pitch_vox, "deform.pitch_vox", "4", 1, 64, "",                                    \
      "voxels of the pass between nodes of its displacement field")                                          \
    K(TEXT, char *, deform_metric, "deform.metric", "\"local_ncc\"", 0, 0,                                   \
      "local_ncc|ncc|mean_squares|local_ncc2|mi",                                                            \
      "what the deformation maximises; for another modality local_ncc2, correlation of either sign, or mi, " \
      "mutual information of the block")                                                                     \
    K(INT, int64_t, deform_radius_vox, "deform.radius_vox", "4", 1, 64, "",                                  \
      "radius of the window of local_ncc")                                                                   \
    K(REAL, double, deform_stiffness, "deform.stiffness", "0", 0, 1e6, "",                                   \
      "weight of the field's curvature against dissimilarity; 0: from the data, by each pass for the next")  \
    K(REAL, double, deform_min_jacobian, "deform.min_jacobian", "0.3", 0.01, 0.95, "",                       \
      "local volume ratio that no field may fall below")                                                     \
    K(REAL, double, deform_max_displacement_um, "deform.max_displacement_um", "0", 0, 1e6, "",               \
      "farthest one pass may move a point; 0: 8 voxels of the pass")                                         \
    K(BOOL, bool, apply_enabled, "apply.enabled", "true", 0, 0, "", "write the aligned moving volume")       \
    K(TEXT, char *, apply_interpolation, "apply.interpolation", "\"linear\"", 0, 0, "linear|cubic|nearest",  \
      "of the moving volume; nearest for labels")                                                            \
    K(REAL, double, apply_outside, "apply.outside", "0", -1e30, 1e30, "",                                    \
      "value where the moving volume has nothing")                                                           \
    K(INT, int64_t, apply_chunk_vox, "apply.chunk_vox", "128", 8, 1024, "",                                  \
      "chunk edge of the aligned volume")                                                                    \
    K(BOOL, bool, measure_enabled, "measure.enabled", "true", 0, 0, "",                                      \
      "measure NCC, local NCC and Jacobian before and after each stage")                                     \
    K(BOOL, bool, report_enabled, "report.enabled", "true", 0, 0, "",                                        \
      "write report/index.html at the end: figures and pictures")                                            \
    K(BOOL, bool, isolate, "isolate", "true", 0, 0, "",                                                      \
      "compute in child processes: a crash, a hang or a lack of memory is a failed block, not a failed run") \
    K(REAL, double, lease_s, "lease_s", "3600", 1, 1e7, "",                                                  \
      "a task that takes longer is given to another worker, too")                                            \
    K(REAL, double, silence_s, "silence_s", "60", 1, 1e6, "",                                                \
      "a rank that was not heard of for so long is lost: its tasks go to others")                            \
    K(REAL, double, epoch_s, "epoch_s", "1", 0, 1e6, "",                                                     \
      "least time between two syncs: what ended since the last one a crash can undo")                        \
    K(BOOL, bool, dedicated, "dedicated", "false", 0, 0, "",                                                 \
      "rank 0 only directs the others, where there are any; else it computes, too")

typedef struct clm_list16 {
    int64_t n;
    double v[16];
} clm_list16;

typedef struct clm_config {
#define K(kind, type, field, ...) type field;
    CLM_CONFIG_KEYS(K)
#undef K
    char *preset;
} clm_config;

/** One key as the manual shows it. */
typedef struct clm_config_key {
    const char *key, *kind, *standard, *choices, *meaning;
    double least, most;
} clm_config_key;
int clm_config_key_count(void);
clm_config_key clm_config_key_at(int i);
/** Names of the built-in presets, and the JSON text of one (NULL: no such preset). */
const char *const *clm_preset_names(int *n);
const char *clm_preset_text(const char *name);

/** A configuration in the making: defaults, then what is put on top, the later wins. */
CLM_MUST bool clm_config_new(clm_config **out, clm_err *err);
void clm_config_free(clm_config *c); /* NULL is fine */
/** All keys of a JSON object (nested objects or dotted keys). `name` begins the error texts, one line a
 *  fault, of CLM_E_ARG: unknown key (with the nearest known), wrong kind, out of range. A "preset" key is
 *  applied first. */
CLM_MUST bool clm_config_put(clm_config *c, const clm_json *object, const char *name, clm_err *err);
CLM_MUST bool clm_config_put_preset(clm_config *c, const char *preset, clm_err *err);
/** "key=value"; value is JSON, or bare text for text keys. */
CLM_MUST bool clm_config_set(clm_config *c, const char *assignment, clm_err *err);
CLM_MUST bool clm_config_put_text(clm_config *c, const char *key, const char *value, clm_err *err);
/** Every key with its value as a nested JSON object. */
CLM_MUST bool clm_config_to_json(const clm_config *c, clm_json **out, clm_err *err);
/** Of what decides the bytes of the results: everything but out, threads, memory, leases and the report. */
CLM_MUST bool clm_config_hash(const clm_config *c, uint64_t *out, clm_err *err);

#endif
