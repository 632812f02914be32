#include "support/folder.h"
#include "support/near.h"

#include "collimate/store/array.h"
#include "collimate/codec/codec.h"
#include "collimate/store/hdf5_parts.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* HDF5 datasets in chunks: 6 x 6 x 6 of uint16 in chunks of 4 x 4 x 4, voxel i holds 7 i. */

enum { N = 6, C = 4, VOXELS = N * N * N, CHUNK = C * C * C * 2 };

static uint16_t voxels[VOXELS];

typedef struct h5 {
    char path[CLM_PATH_MAX]; /* of the dataset */
    hid_t file, list, data;
} h5;

static h5 begin(const char *name) {
    h5 f;
    clm_err err = CLM_ERR_NONE;
    const hsize_t chunk[3] = {C, C, C};
    assert_ok(clm_path_join(f.path, folder, name, &err), err);
    f.file = H5Fcreate(f.path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    f.list = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(f.list, 3, chunk) >= 0);
    assert_ok(clm_path_format(f.path, &err, "%s/%s/data", folder, name), err);
    for (int i = 0; i < VOXELS; i++) voxels[i] = (uint16_t)(7 * i);
    return f;
}

static void create(h5 *f, hid_t type) {
    hid_t s = H5Screate_simple(3, (const hsize_t[]){N, N, N}, NULL);
    f->data = H5Dcreate2(f->file, "data", type, s, H5P_DEFAULT, f->list, H5P_DEFAULT);
    assert_true(f->data > 0);
    (void)H5Sclose(s);
}

static void end(h5 *f) {
    (void)H5Dclose(f->data), (void)H5Pclose(f->list);
    assert_true(H5Fclose(f->file) >= 0);
}

static bool read_all(const char *path, uint16_t out[VOXELS], clm_err *err) {
    clm_array *a = NULL;
    const int64_t lo[3] = {0, 0, 0}, hi[3] = {N, N, N};
    *err = CLM_ERR_NONE;
    bool ok = clm_array_open(path, &a, err) && clm_array_read(a, lo, hi, out, err);
    clm_array_close(a);
    return ok;
}

/* Whatever the library's own filters and byte orders, edges and absent chunks. */
static void what_the_library_writes(void **state) {
    (void)state;
    uint16_t got[VOXELS];
    clm_err err = CLM_ERR_NONE;
    for (int how = 0; how < 16; how++) {
        h5 f = begin("written.h5");
        const uint16_t nine = 9;
        if (how & 1) assert_true(H5Pset_shuffle(f.list) >= 0);
        if ((how & 6) == 2) assert_true(H5Pset_deflate(f.list, 5) >= 0);
        if ((how & 6) == 4) assert_true(H5Pset_scaleoffset(f.list, H5Z_SO_INT, 0) >= 0);
        if ((how & 6) == 6 && H5Zfilter_avail(H5Z_FILTER_SZIP) > 0)
            assert_true(H5Pset_szip(f.list, H5_SZIP_NN_OPTION_MASK, 8) >= 0);
        if (how & 8) assert_true(H5Pset_fletcher32(f.list) >= 0);
        assert_true(H5Pset_fill_value(f.list, H5T_NATIVE_UINT16, &nine) >= 0);
        create(&f, how & 1 ? H5T_STD_U16LE : H5T_STD_U16BE);
        hid_t from = H5Screate_simple(1, (const hsize_t[]){VOXELS / 3}, NULL), to = H5Dget_space(f.data);
        const hsize_t count[3] = {2, N, N};
        (void)H5Sselect_hyperslab(to, H5S_SELECT_SET, (const hsize_t[]){0, 0, 0}, NULL, count, NULL);
        assert_true(H5Dwrite(f.data, H5T_NATIVE_UINT16, from, to, H5P_DEFAULT, voxels) >= 0);
        (void)H5Sclose(from), (void)H5Sclose(to);
        end(&f);
        for (int i = VOXELS / 3; i < VOXELS; i++) voxels[i] = 9;
        assert_ok(read_all(f.path, got, &err), err);
        assert_memory_equal(got, voxels, sizeof voxels);
    }
}

/* Chunks that overhang may be stored unfiltered, others may have skipped a filter that did not help. */
static void filters_not_passed(void **state) {
    (void)state;
    uint16_t got[VOXELS], plain[C * C * C];
    clm_err err = CLM_ERR_NONE;
    h5 f = begin("partial.h5");
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    (void)H5Fclose(f.file);
    (void)H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    char file[CLM_PATH_MAX];
    assert_ok(clm_path_join(file, folder, "partial.h5", &err), err);
    f.file = H5Fcreate(file, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    (void)H5Pclose(access);
    assert_true(H5Pset_deflate(f.list, 5) >= 0 &&
                H5Pset_chunk_opts(f.list, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) >= 0);
    create(&f, H5T_STD_U16LE);
    assert_true(H5Dwrite(f.data, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, voxels) >= 0);
    end(&f);
    assert_ok(read_all(f.path, got, &err), err);
    assert_memory_equal(got, voxels, sizeof voxels);

    f = begin("skipped.h5");
    assert_true(H5Pset_shuffle(f.list) >= 0 && H5Pset_deflate(f.list, 5) >= 0);
    create(&f, H5T_STD_U16LE);
    for (int i = 0; i < C * C * C; i++) plain[i] = (uint16_t)(5 * i);
    assert_true(H5Dwrite_chunk(f.data, H5P_DEFAULT, 3, (const hsize_t[]){0, 0, 0}, sizeof plain, plain) >= 0);
    end(&f);
    assert_ok(read_all(f.path, got, &err), err);
    for (int z = 0; z < C; z++)
        for (int y = 0; y < C; y++)
            assert_memory_equal(got + N * (N * z + y), plain + C * (C * z + y), C * 2);
}

/* One chunk's bytes behind one filter: `bytes` zeros, and the last byte of what they become left out if `torn`. */
static bool read_chunk_of(int filter, size_t bytes, bool torn, clm_err *err) {
    static const struct {
        int id;
        clm_codec codec;
    } ours[] = {{1, {.kind = CLM_CODEC_ZLIB, .level = 5}},
                {32015, {.kind = CLM_CODEC_ZSTD, .level = 1}},
                {32001, {.kind = CLM_CODEC_BLOSC, .level = 5, .shuffle = 1, .typesize = 2, .cname = "lz4"}}};
    static const unsigned char zeros[2 * CHUNK];
    unsigned char head[2 * CHUNK + 64] = {0};
    uint16_t got[VOXELS];
    clm_buf made = {0};
    h5 f = begin("chunk.h5");
    for (int i = 0; i < 3; i++)
        if (filter == ours[i].id) assert_ok(clm_codec_encode(&ours[i].codec, zeros, bytes, &made, err), *err);
    size_t n = made.n;
    if (made.n) memcpy(head, made.data, made.n);
    if (filter == 0) n = bytes; /* none */
    if (filter == 32004) {      /* u64 bytes, u32 block, then one block as it is */
        n = 16 + bytes;
        for (int k = 0; k < 3; k++)
            head[6 + 4 * k] = (unsigned char)(bytes >> 8), head[7 + 4 * k] = (unsigned char)bytes;
        head[14] = head[6], head[15] = head[7];
    }
    if (filter == 32000) /* runs of 32 bytes as they are */
        for (n = 0; n < bytes / 32 * 33; n += 33) head[n] = 31;
    if (filter == 4) head[0] = (unsigned char)bytes, head[1] = (unsigned char)(bytes >> 8), n = 40;
    clm_buf_free(&made);
    const unsigned value[5] = {filter == 4 ? 141 : 5, 8, 16, 4, 0};
    if (filter == 4) {
        if (H5Zfilter_avail(H5Z_FILTER_SZIP) <= 0) skip();
        assert_true(H5Pset_szip(f.list, H5_SZIP_NN_OPTION_MASK, 8) >= 0);
    } else if (filter == 6) {
        assert_true(H5Pset_scaleoffset(f.list, H5Z_SO_INT, 0) >= 0);
        head[0] = 16, head[4] = 8, n = 21 + bytes;
    } else if (filter == 1) {
        assert_true(H5Pset_deflate(f.list, 5) >= 0);
    } else if (filter) {
        assert_true(H5Pset_filter(f.list, filter, H5Z_FLAG_OPTIONAL, 1, value) >= 0);
    }
    create(&f, H5T_STD_U16LE);
    assert_true(H5Dwrite_chunk(f.data, H5P_DEFAULT, 0, (const hsize_t[]){0, 0, 0}, n - torn, head) >= 0);
    end(&f);
    memset(got, 1, sizeof got);
    bool ok = read_all(f.path, got, err);
    for (int i = 0; ok && i < C; i++) assert_int_equal(got[i], 0);
    return ok;
}

/* The library hands on what a filter makes, however little, and reads the chunk's whole size from it. */
static void short_chunks_are_refused(void **state) {
    (void)state;
    static const int filters[] = {0, 1, 6, 32000, 32001, 32004, 32015};
    clm_err err = CLM_ERR_NONE;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        assert_ok(read_chunk_of(filters[i], CHUNK, false, &err), err);
        assert_fails(CLM_E_FORMAT, read_chunk_of(filters[i], CHUNK, true, &err), err);
        assert_non_null(strstr(err.text, "chunk 0,0,0"));
        assert_fails(CLM_E_FORMAT, read_chunk_of(filters[i], CHUNK / 2, false, &err), err);
        if (filters[i] != 6)
            assert_fails(CLM_E_FORMAT, read_chunk_of(filters[i], CHUNK + 32, false, &err), err);
    }
    assert_fails(CLM_E_FORMAT, read_chunk_of(4, CHUNK / 2, false, &err), err);
}

static void combinations(void **state) {
    (void)state;
    unsigned char chunk[64] = {CHUNK & 0xff, CHUNK >> 8};
    clm_err err = CLM_ERR_NONE;
    clm_chain chain;
    clm_hdf5_filters f = {.n = 3, .filter = {{.id = 2, .n_values = 1, .value = {2}}, {.id = 4}, {.id = 3}}};
    assert_true(clm_hdf5_is_left_to_library(&f));
    assert_ok(clm_hdf5_library_can(&f, chunk, sizeof chunk, CHUNK, &err), err);
    assert_fails(CLM_E_FORMAT, clm_hdf5_library_can(&f, chunk, 7, CHUNK, &err), err);
    f.filter[2].id = 1;
    assert_fails(CLM_E_UNSUPPORTED, clm_hdf5_library_can(&f, chunk, sizeof chunk, CHUNK, &err), err);
    f.n = 2, f.filter[1].id = 5, f.filter[1].n_values = 0;
    (void)snprintf(f.filter[1].name, sizeof f.filter[1].name, "nbit");
    assert_fails(CLM_E_UNSUPPORTED, clm_hdf5_chain(&f, &chain, &err), err);
    assert_non_null(strstr(err.text, "filter 5 (nbit)"));
    f.n = 1, f.filter[0].value[0] = 0;
    assert_fails(CLM_E_FORMAT, clm_hdf5_chain(&f, &chain, &err), err);
}

static void types(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    const signed char no = 0, yes = 1;
    hid_t half = H5Tcopy(H5T_IEEE_F32LE), brain = H5Tcopy(H5T_IEEE_F32LE),
          logical = H5Tenum_create(H5T_NATIVE_INT8), narrow = H5Tcopy(H5T_STD_U16LE);
    (void)H5Tset_fields(half, 15, 10, 5, 0, 10), (void)H5Tset_size(half, 2), (void)H5Tset_ebias(half, 15);
    (void)H5Tset_fields(brain, 15, 7, 8, 0, 7), (void)H5Tset_size(brain, 2);
    (void)H5Tenum_insert(logical, "FALSE", &no), (void)H5Tenum_insert(logical, "TRUE", &yes);
    (void)H5Tset_precision(narrow, 12);
    const struct {
        hid_t type;
        const char *name; /* NULL: refused */
    } cases[] = {{half, "float16"}, {logical, "bool"}, {brain, NULL}, {narrow, NULL}};
    for (int i = 0; i < 4; i++) {
        h5 f = begin("type.h5");
        create(&f, cases[i].type);
        end(&f);
        if (cases[i].name) {
            assert_ok(clm_array_open(f.path, &a, &err), err);
            assert_string_equal(clm_dtype_name(clm_array_info_of(a)->dtype), cases[i].name);
            clm_array_close(a);
        } else {
            assert_fails(CLM_E_UNSUPPORTED, clm_array_open(f.path, &a, &err), err);
        }
    }
    (void)H5Tclose(half), (void)H5Tclose(brain), (void)H5Tclose(logical), (void)H5Tclose(narrow);
}

static void places(void **state) {
    (void)state;
    int64_t shape[3] = {8, 16, 32}, setup, level;
    clm_place p = {.slope = 1};
    clm_imaris m = {
        .size = {"30", "15", ""}, .lo = {"-3", "0", "10"}, .hi = {"27", "7.5", "26"}, .unit = "mm"};
    clm_imaris_place(&m, shape, &p);
    assert_string_equal(p.problem, "");
    assert_int_equal(shape[0], 8);
    assert_int_equal(shape[1], 15);
    assert_int_equal(shape[2], 30);
    assert_near(p.spacing_um[2], 1000, 1e-9);
    assert_near(p.spacing_um[0], 2000, 1e-9);
    assert_near(p.origin_um[2], -2500, 1e-9);
    (void)snprintf(m.hi[1], sizeof m.hi[1], "0");
    clm_imaris_place(&m, shape, &p);
    assert_non_null(strstr(p.problem, "give the spacing"));
    clm_bdv_place((const double[]){2, 2, 1}, (const double[]){200, 300, 1000}, "nm", &p);
    assert_string_equal(p.problem, "");
    assert_near(p.spacing_um[2], .4, 1e-12);
    assert_near(p.origin_um[1], .15, 1e-12);
    clm_bdv_place((const double[]){0, 2, 1}, (const double[]){200, 300, 1000}, "nm", &p);
    assert_true(p.problem[0] != 0);
    assert_true(clm_bdv_cells("/t00003/s12/4/cells", &setup, &level));
    assert_int_equal(setup, 12);
    assert_int_equal(level, 4);
    assert_false(clm_bdv_cells("t00003/s12/4/cell", &setup, &level));
    assert_false(clm_bdv_cells("t00003/s1x/4/cells", &setup, &level));
    assert_false(clm_bdv_cells("t00003/s12/cells", &setup, &level));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_library_writes),
        cmocka_unit_test(filters_not_passed),
        cmocka_unit_test(short_chunks_are_refused),
        cmocka_unit_test(combinations),
        cmocka_unit_test(types),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
