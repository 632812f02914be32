#include "collimate/image/seam.h"
#include "collimate/base/rng.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

static const double spacing[3] = {2.0, 1.5, 1.0}, zero[3] = {0, 0, 0};

static void fill(clm_arena *a, const int64_t shape[3], clm_field *f) {
    clm_err err = CLM_ERR_NONE;
    assert_ok(clm_field_new(a, shape, spacing, zero, f, &err), err);
    for (int64_t i = 0; i < 3 * clm_field_count(f); i++)
        f->u[0][i] = (float)clm_rng_normal(5, 1, (uint64_t)i);
}

/* the definition, node by node in long double */
static double slow(const clm_field *f, const clm_seam_faces *faces) {
    long double on = 0, off = 0, n_on = 0, n_off = 0;
    int64_t step[3] = {f->shape[1] * f->shape[2], f->shape[2], 1};
    for (int d = 0; d < 3; d++)
        for (int64_t i = 0; i < clm_field_count(f); i++) {
            int64_t at[3] = {i / step[0], i / step[1] % f->shape[1], i % f->shape[2]};
            if (at[d] == 0 || at[d] == f->shape[d] - 1) continue;
            long double s = 0;
            for (int c = 0; c < 3; c++) {
                const float *u = f->u[c];
                long double j = ((long double)u[i + step[d]] - u[i]) - ((long double)u[i] - u[i - step[d]]);
                s += j * j / (long double)(spacing[d] * spacing[d]);
            }
            bool on_face = false; /* one lies strictly between the neighbours */
            for (double k = -2; k < 99; k++) {
                double face = faces->at[d] + k * faces->period[d];
                on_face = on_face || fabs(face - (double)at[d]) < 0.999999;
            }
            if (on_face)
                on += sqrtl(s), n_on++;
            else
                off += sqrtl(s), n_off++;
        }
    return (double)(on / n_on / (off / n_off));
}

static void near_the_definition(void **state) {
    (void)state;
    clm_work w = clm_test_work(4);
    const int64_t shape[3] = {9, 8, 17}, first[3] = {0, 0, 0};
    static const clm_seam_faces faces[2] = {{{3, 4, 5}, {0, 0, 0}}, {{3, 4.25, 5.5}, {0, 0.5, -1.75}}};
    clm_field f;
    fill(w.keep, shape, &f);
    for (int k = 0; k < 2; k++) {
        clm_seam s = {0};
        clm_seam_add(&f, first, clm_box_of(shape), &faces[k], &s);
        assert_near(clm_seam_value(&s), slow(&f, &faces[k]), 1e-9);
    }
    clm_test_work_drop(&w);
}

/* parts with a halo of one node give what the whole gives */
static void parts_are_the_whole(void **state) {
    (void)state;
    clm_work w = clm_test_work(4);
    const int64_t shape[3] = {12, 7, 9}, first[3] = {0, 0, 0};
    const clm_seam_faces faces = {{4, 3.5, 5}, {0, 1, 0}};
    clm_field f;
    clm_seam whole = {0}, parts = {0};
    fill(w.keep, shape, &f);
    clm_seam_add(&f, first, clm_box_of(shape), &faces, &whole);
    for (int64_t z = 0; z < shape[0]; z += 5) {
        int64_t lo = z ? z - 1 : 0, end = z + 5 < shape[0] ? z + 5 : shape[0];
        int64_t hi = end < shape[0] ? end + 1 : end, place[3] = {lo, 0, 0};
        clm_field part = f;
        clm_seam s = {0};
        for (int c = 0; c < 3; c++) part.u[c] = f.u[c] + lo * shape[1] * shape[2];
        part.shape[0] = hi - lo;
        clm_seam_add(&part, place, (clm_box){{z - lo, 0, 0}, {end - lo, shape[1], shape[2]}}, &faces, &s);
        clm_seam_merge(&parts, &s);
    }
    assert_int_equal(parts.n_on, whole.n_on);
    assert_int_equal(parts.n_off, whole.n_off);
    assert_near(clm_seam_value(&parts), clm_seam_value(&whole), 1e-12);
    clm_test_work_drop(&w);
}

/* a kink on the faces shows, a linear field has nothing to show */
static void sees_a_kink(void **state) {
    (void)state;
    clm_work w = clm_test_work(4);
    const int64_t shape[3] = {8, 8, 33}, first[3] = {0, 0, 0};
    const clm_seam_faces faces = {{0, 0, 8}, {0, 0, 0}};
    clm_field f;
    clm_seam s = {0};
    fill(w.keep, shape, &f);
    for (int64_t i = 0; i < clm_field_count(&f); i++) {
        double x = (double)(i % 33);
        for (int c = 0; c < 3; c++) f.u[c][i] = (float)(0.01 * x * x);
    }
    clm_seam_add(&f, first, clm_box_of(shape), &faces, &s);
    assert_near(clm_seam_value(&s), 1.0, 1e-3);
    for (int64_t i = 0; i < clm_field_count(&f); i++)
        f.u[0][i] += i % 33 >= 16 ? 0.5f * (float)(i % 33 - 16) : 0.0f;
    clm_seam kinked = {0};
    clm_seam_add(&f, first, clm_box_of(shape), &faces, &kinked);
    assert_true(clm_seam_value(&kinked) > 5.0 * clm_seam_value(&s));
    for (int64_t i = 0; i < 3 * clm_field_count(&f); i++) f.u[0][i] = (float)(i % 33);
    memset(&s, 0, sizeof s);
    clm_seam_add(&f, first, clm_box_of(shape), &faces, &s);
    assert_true(isnan(clm_seam_value(&s)));
    clm_test_work_drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(near_the_definition),
                                       cmocka_unit_test(parts_are_the_whole), cmocka_unit_test(sees_a_kink)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
