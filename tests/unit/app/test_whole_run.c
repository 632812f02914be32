/* Whole runs of `collimate align` with ranks and slots as threads of this process: the real loops, jobs and
 * files, also under ThreadSanitizer. The command is called as main calls it. */
#include "collimate/app/commands.h"
#include "collimate/app/demo.h"
#include "collimate/base/file.h"
#include "support/near.h"
#include "support/temp.h"

#include <string.h>

static char folder[CLM_PATH_MAX];

static int make_pair(void **state) {
    clm_err err = CLM_ERR_NONE;
    char demo[CLM_PATH_MAX];
    clm_phantom_params p = CLM_PHANTOM_DEFAULTS;
    static const int64_t shape[2][3] = {{40, 64, 72}, {36, 60, 70}};
    (void)state;
    clm_test_folder(folder);
    for (int side = 0; side < 2; side++) memcpy(p.side[side].shape, shape[side], sizeof shape[side]);
    p.shift_um = 6.0;
    p.warp_um[0] = 6.0;
    p.density = 2.0;
    const clm_demo_options o = {.chunk = 32, .threads = 1};
    if (!clm_path_join(demo, folder, "demo", &err)) return -1;
    return clm_demo_write(demo, &p, &o, &err) ? 0 : -1;
}

static int drop_pair(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    return 0;
}

static int align(const char *out, const char *ranks, const char *threads) {
    clm_err err = CLM_ERR_NONE;
    char fixed[CLM_PATH_MAX], moving[CLM_PATH_MAX], path[CLM_PATH_MAX];
    assert_ok(clm_path_join(fixed, folder, "demo/fixed.ome.zarr", &err), err);
    assert_ok(clm_path_join(moving, folder, "demo/moving.n5", &err), err);
    assert_ok(clm_path_join(path, folder, out, &err), err);
    char *argv[] = {"align",     "--quiet",
                    "--fixed",   fixed,
                    "--moving",  moving,
                    "--out",     path,
                    "--local",   (char *)ranks,
                    "--threads", (char *)threads,
                    "--set",     "deform.block_vox=32",
                    "--set",     "deform.halo_vox=12",
                    "--set",     "local.block_vox=24",
                    "--set",     "apply.chunk_vox=24",
                    "--set",     "deform.factors=[2,1]",
                    NULL};
    return clm_cmd_align((int)(sizeof argv / sizeof argv[0]) - 1, argv);
}

static void same_file(const char *name, const char *a, const char *b) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX], below[CLM_PATH_MAX];
    clm_buf one = {0}, two = {0};
    assert_ok(clm_path_join(below, folder, a, &err) && clm_path_join(path, below, name, &err), err);
    assert_ok(clm_file_read(path, (size_t)1 << 28, &one, &err), err);
    assert_ok(clm_path_join(below, folder, b, &err) && clm_path_join(path, below, name, &err), err);
    assert_ok(clm_file_read(path, (size_t)1 << 28, &two, &err), err);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.data, two.data, one.n);
    clm_buf_free(&one);
    clm_buf_free(&two);
}

static void same_bytes_for_any_ranks_and_threads(void **state) {
    static const char *const files[] = {"affine.json",
                                        "metrics.json",
                                        "aligned.ome.zarr/zarr.json",
                                        "aligned.ome.zarr/s0/c/0/0/0",
                                        "aligned.ome.zarr/s0/c/1/2/2",
                                        "transform.ome.zarr/zarr.json",
                                        "transform.ome.zarr/coordinateTransformations/coverage/c/0/0/0",
                                        "transform.ome.zarr/coordinateTransformations/dfield/s0/c/0/0/0/0"};
    (void)state;
    assert_int_equal(align("alone", "1", "1"), CLM_EXIT_DONE);
    assert_int_equal(align("three", "3", "2"), CLM_EXIT_DONE);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) same_file(files[i], "alone", "three");
    assert_int_equal(align("alone", "2", "1"), CLM_EXIT_DONE); /* a finished run stays as it is */
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) same_file(files[i], "alone", "three");
}

/* what rests on a run: its commands have loops of their own, halfway many sweeps over chunks that read one another */
static void other_commands_are_the_same_too(void **state) {
    static const struct {
        int (*command)(int, char **);
        const char *name, *option[4], *file;
    } rows[] = {{clm_cmd_halfway,
                 "halfway.ome.zarr",
                 {"--sweeps", "4", "--chunk", "8"},
                 "coordinateTransformations/dfield/s0/c/0/1/1/1"},
                {clm_cmd_invert,
                 "invert.ome.zarr",
                 {"--tolerance-um", "0.01", "--chunk", "8"},
                 "coordinateTransformations/dfield/s0/c/0/1/1/1"},
                {clm_cmd_compose,
                 "compose.ome.zarr",
                 {"--cache-mib", "1", "--chunk", "8"},
                 "coordinateTransformations/dfield/s0/c/0/1/1/1"}};
    static const char *const ranks[2] = {"1", "3"}, *const threads[2] = {"1", "2"};
    (void)state;
    assert_int_equal(align("alone", "1", "2"), CLM_EXIT_DONE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char names[2][CLM_PATH_MAX];
        for (int k = 0; k < 2; k++) {
            clm_err err = CLM_ERR_NONE;
            char run[CLM_PATH_MAX], out[CLM_PATH_MAX];
            assert_ok(clm_path_format(names[k], &err, "%s.%s", ranks[k], rows[i].name) &&
                          clm_path_join(run, folder, "alone", &err) &&
                          clm_path_join(out, folder, names[k], &err),
                      err);
            char *argv[] = {"command",
                            run,
                            out,
                            "-q",
                            "--local",
                            (char *)ranks[k],
                            "--threads",
                            (char *)threads[k],
                            (char *)rows[i].option[0],
                            (char *)rows[i].option[1],
                            (char *)rows[i].option[2],
                            (char *)rows[i].option[3],
                            NULL};
            assert_int_equal(rows[i].command((int)(sizeof argv / sizeof argv[0]) - 1, argv), CLM_EXIT_DONE);
        }
        same_file(rows[i].file, names[0], names[1]);
    }
}

static void the_known_warp_is_recovered(void **state) {
    clm_err err = CLM_ERR_NONE;
    char demo[CLM_PATH_MAX], out[CLM_PATH_MAX];
    clm_demo_errors e;
    (void)state;
    assert_int_equal(align("alone", "1", "2"), CLM_EXIT_DONE);
    assert_ok(clm_path_join(demo, folder, "demo", &err) && clm_path_join(out, folder, "alone", &err), err);
    assert_ok(clm_demo_check(demo, out, &e, &err), err);
    assert_true(e.before.um.median > 3.0);
    assert_true(e.field.voxels.median < e.affine.voxels.median);
    assert_true(e.field.voxels.median < 0.4);
    assert_true(e.field.voxels.p95 < 2.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bytes_for_any_ranks_and_threads),
                                       cmocka_unit_test(other_commands_are_the_same_too),
                                       cmocka_unit_test(the_known_warp_is_recovered)};
    return cmocka_run_group_tests(tests, make_pair, drop_pair);
}
