/* The kernels for processors with AVX-512 against the plain ones: the same bytes. The plain ones are warp.c once more,
 * compiled so that it knows of no others. */
#define clm_warp plain_warp
#define clm_warp_items plain_items
#define clm_warp_stored plain_stored
#define clm_warp_takes plain_takes
#define clm_warp_box plain_box
#define clm_warp_is_wide never_wide
#include "../../../src/image/warp.c"
#undef clm_warp
#undef clm_warp_items
#undef clm_warp_stored
#undef clm_warp_takes
#undef clm_warp_box
#undef clm_warp_is_wide

#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/rng.h"

#include <sys/mman.h>
#include <unistd.h>

bool never_wide(const int64_t moving[3]) { return moving[0] < 0; }
bool clm_warp_is_wide(const int64_t moving[3]);
bool clm_warp(const clm_work *w, const clm_vol *moving, const clm_affine *A, const clm_field *f,
              clm_interp kind, float outside, clm_vol *out, int64_t *inside, clm_err *err);
bool clm_warp_items(const clm_work *w, const clm_vol *moving, const void *items, size_t size,
                    const clm_affine *A, const clm_field *f, const void *outside, const clm_vol *grid,
                    void *out, int64_t *inside, clm_err *err);
bool clm_warp_stored(const clm_work *w, const clm_vol *moving, const void *voxels, clm_dtype type,
                     const clm_affine *A, const clm_field *f, float outside, const clm_vol *grid, void *out,
                     int64_t *inside, clm_err *err);

/* bytes that end where a page begins that cannot be read: what reads beyond them dies */
typedef struct walled {
    unsigned char *map, *bytes;
    size_t n;
} walled;

static walled wall(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (n + page - 1) / page * page + page;
    walled w = {.n = whole};
    w.map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(w.map != MAP_FAILED);
    assert_int_equal(mprotect(w.map + whole - page, page, PROT_NONE), 0);
    w.bytes = w.map + whole - page - n;
    return w;
}

static double some(uint64_t trial, uint64_t what, double lo, double hi) {
    return lo + (hi - lo) * clm_rng_uniform(11, trial, what);
}

/* from nearly the identity to any turn, mirror and scale, about the middles of both grids; sometimes voxel upon voxel,
 * to the border, and sometimes axes that are only stretched */
static clm_affine any_affine(uint64_t trial, const clm_vol *out, const clm_vol *moving) {
    static const double spread[4] = {0.01, 0.1, 0.7, 1.5};
    clm_affine a;
    for (int c = 0; c < 3; c++) {
        double centre = trial % 8 == 7 ? 0.5 * (double)out->shape[c]
                                       : some(trial, 90u + (uint64_t)c, 0.3, 0.7) * (double)moving->shape[c];
        a.m[c][3] = moving->origin[c] + centre * moving->spacing[c];
        for (int d = 0; d < 3; d++) {
            double turn = some(trial, 10u + 3u * (uint64_t)c + (uint64_t)d, -1, 1) * spread[trial % 4];
            if (trial % 6 == 3) turn = c == 2 && d == 2 ? some(trial, 9, 0.6, 1.0) : 0.0;
            if (trial % 8 == 7) turn = 0.0;
            a.m[c][d] = ((c == d ? (trial % 5 == 4 && d == 2 ? -1.0 : 1.0) : 0.0) + turn) *
                        moving->spacing[c] / out->spacing[d];
            a.m[c][3] -= a.m[c][d] * (out->origin[d] + 0.5 * (double)out->shape[d] * out->spacing[d]);
        }
    }
    return a;
}

typedef struct scene {
    clm_vol moving, out;
    clm_affine a;
    clm_field f;
    bool has_field;
} scene;

static scene any_scene(clm_work *w, uint64_t trial) {
    scene s = {.has_field = trial % 3 != 0};
    clm_err err;
    const int64_t nodes[3] = {4, 5, 9};
    double spacing[3], origin[3];
    for (int d = 0; d < 3; d++) {
        s.moving.shape[d] = 2 + clm_rng_below(3, trial, (uint64_t)d, d == 2 ? 90 : 40);
        s.out.shape[d] = 1 + clm_rng_below(4, trial, (uint64_t)d, d == 2 ? 140 : 9);
        s.moving.spacing[d] = some(trial, 30u + (uint64_t)d, 0.5, 2);
        s.out.spacing[d] = some(trial, 40u + (uint64_t)d, 0.5, 2);
        s.moving.origin[d] = some(trial, 50u + (uint64_t)d, -9, 9);
        s.out.origin[d] = some(trial, 60u + (uint64_t)d, -9, 9);
        spacing[d] = (double)s.out.shape[d] * s.out.spacing[d] / 3.0;
        origin[d] = s.out.origin[d];
    }
    if (trial % 7 == 6) s.moving.shape[trial / 7 % 2] = 1; /* one plane, or one row a plane */
    s.moving.shape[2] += s.moving.shape[0] * s.moving.shape[1] < 4 ? 4 : 0;
    s.a = any_affine(trial, &s.out, &s.moving);
    assert_ok(clm_field_new(w->keep, nodes, spacing, origin, &s.f, &err), err);
    for (int64_t i = 0; i < 3 * clm_field_count(&s.f); i++)
        s.f.u[0][i] = (float)some(trial, 1000u + (uint64_t)i, -3, 3);
    if (trial % 11 == 10) s.f.u[1][40] = NAN;
    return s;
}

static void same(const scene *s, clm_work *w, clm_dtype type, uint64_t trial) {
    const clm_field *f = s->has_field ? &s->f : NULL;
    const size_t size = clm_dtype_size(type);
    const int64_t n = clm_vol_count(&s->moving), m = clm_vol_count(&s->out);
    const float outside = type == CLM_F32 ? -7.25f : (float)some(trial, 5, -300, 300);
    walled voxels = wall((size_t)n * size);
    clm_vol moving, want, got;
    clm_err err;
    int64_t inside = -1, again = -2;
    unsigned char *plain = clm_arena_take(w->keep, m, size, &err),
                  *wide = clm_arena_take(w->keep, m, size, &err);
    assert_true(plain && wide);
    assert_ok(clm_vol_new(w->keep, s->moving.shape, s->moving.spacing, s->moving.origin, &moving, &err), err);
    assert_ok(clm_vol_new(w->keep, s->out.shape, s->out.spacing, s->out.origin, &want, &err), err);
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = clm_rng_bits(21, trial, (uint64_t)i);
        float real = (float)r * 0x1p-62f;
        memcpy(voxels.bytes + (size_t)i * size, type == CLM_F32 ? (void *)&real : (void *)&r, size);
    }
    clm_dtype_to_f32(type, voxels.bytes, moving.data, n);
    assert_ok(plain_warp(w, &moving, &s->a, f, CLM_INTERP_LINEAR, outside, &want, &inside, &err), err);
    clm_dtype_from_f32(type, want.data, plain, m);
    got = want;
    got.data = (float *)(void *)wide;
    moving.data = (float *)(void *)voxels.bytes;
    if (type == CLM_F32)
        assert_ok(clm_warp(w, &moving, &s->a, f, CLM_INTERP_LINEAR, outside, &got, &again, &err), err);
    else
        assert_ok(
            clm_warp_stored(w, &moving, voxels.bytes, type, &s->a, f, outside, &want, wide, &again, &err),
            err);
    assert_int_equal(inside, again);
    assert_memory_equal(plain, wide, (size_t)m * size);
    (void)munmap(voxels.map, voxels.n);
}

static void same_items(const scene *s, clm_work *w, size_t size, uint64_t trial) {
    const clm_field *f = s->has_field ? &s->f : NULL;
    const uint64_t outside = 0xfedcba9876543210u;
    const int64_t n = clm_vol_count(&s->moving), m = clm_vol_count(&s->out);
    walled items = wall((size_t)n * size);
    clm_err err;
    int64_t inside = -1, again = -2;
    unsigned char *plain = clm_arena_take(w->keep, m, size, &err),
                  *wide = clm_arena_take(w->keep, m, size, &err);
    assert_true(plain && wide);
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = clm_rng_bits(22, trial, (uint64_t)i);
        memcpy(items.bytes + (size_t)i * size, &r, size);
    }
    assert_ok(
        plain_items(w, &s->moving, items.bytes, size, &s->a, f, &outside, &s->out, plain, &inside, &err),
        err);
    assert_ok(
        clm_warp_items(w, &s->moving, items.bytes, size, &s->a, f, &outside, &s->out, wide, &again, &err),
        err);
    assert_int_equal(inside, again);
    assert_memory_equal(plain, wide, (size_t)m * size);
    (void)munmap(items.map, items.n);
}

static void wide_equals_plain(void **state) {
    (void)state;
    static const clm_dtype type[] = {CLM_F32, CLM_U8, CLM_I8, CLM_U16, CLM_I16};
    const int64_t any[3] = {8, 8, 8};
    if (!clm_warp_is_wide(any)) {
        print_message("SKIPPED: this processor has no AVX-512\n");
        skip();
    }
    clm_work w = clm_test_work(64);
    for (uint64_t trial = 0; trial < 150; trial++) {
        clm_mark mark = clm_arena_mark(w.keep);
        scene s = any_scene(&w, trial);
        for (size_t k = 0; k < sizeof type / sizeof type[0]; k++) same(&s, &w, type[k], trial);
        for (size_t size = 1; size <= 8; size *= 2) same_items(&s, &w, size, trial);
        clm_arena_rewind(w.keep, mark);
    }
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(wide_equals_plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
