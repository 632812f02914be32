/* Blocks do not overlap, whatever was given back before, and freed room is used again. */
#include "collimate/base/slab.h"
#include "collimate/base/rng.h"
#include "support/near.h"

#include <string.h>

#define HELD 40

static void blocks_keep_what_is_theirs(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_slabs *s;
    struct {
        unsigned char *p;
        size_t n;
    } held[HELD] = {{NULL, 0}};
    assert_ok(clm_slabs_open(&s, &err), err);
    for (uint64_t i = 0; i < 4000; i++) {
        uint64_t r = clm_rng_bits(3, 1, i);
        int k = (int)(r % HELD);
        if (held[k].p) { /* both ends are as they were left */
            assert_int_equal(held[k].p[0], k);
            assert_int_equal(held[k].p[held[k].n / 2], k);
            assert_int_equal(held[k].p[held[k].n - 1], k);
            clm_slab_give(s, held[k].p, held[k].n);
            held[k].p = NULL;
            continue;
        }
        /* 1 byte, to 4 MiB, a few of more than a slab */
        held[k].n = 1 + (size_t)(r >> 8) % (i % 100 == 0 ? (size_t)40 << 20 : (size_t)4 << (r >> 40) % 21);
        held[k].p = clm_slab_take(s, held[k].n, &err);
        assert_non_null(held[k].p);
        held[k].p[0] = held[k].p[held[k].n / 2] = held[k].p[held[k].n - 1] = (unsigned char)k;
    }
    for (int k = 0; k < HELD; k++) clm_slab_give(s, held[k].p, held[k].n);
    clm_slabs_close(s);
    clm_slabs_close(NULL);
}

/* the place of a block in the middle is taken again, and by two smaller ones */
static void freed_room_is_used_again(void **state) {
    (void)state;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    clm_err err = CLM_ERR_NONE;
    clm_slabs *s;
    const size_t mib = (size_t)1 << 20;
    unsigned char *p[3];
    assert_ok(clm_slabs_open(&s, &err), err);
    for (int k = 0; k < 3; k++) p[k] = clm_slab_take(s, mib, &err);
    clm_slab_give(s, p[1], mib);
    unsigned char *half = clm_slab_take(s, mib / 2, &err), *other = clm_slab_take(s, mib / 2, &err);
    assert_ptr_equal(half, p[1]);
    assert_ptr_equal(other, p[1] + mib / 2);
    clm_slab_give(s, half, mib / 2);
    clm_slab_give(s, other, mib / 2);
    clm_slab_give(s, p[0], mib);
    clm_slab_give(s, p[2], mib);
    clm_slabs_close(s);
#endif
}

/* a slab that was begun is filled before the newest one, so that what is held is what is needed */
static void older_slabs_are_filled_first(void **state) {
    (void)state;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    clm_err err = CLM_ERR_NONE;
    clm_slabs *s;
    const size_t n = (size_t)8 << 20;
    unsigned char *p[5];
    assert_ok(clm_slabs_open(&s, &err), err);
    for (int k = 0; k < 5; k++)
        assert_non_null(p[k] = clm_slab_take(s, n, &err)); /* the last in a second slab */
    unsigned char *was = p[2];
    clm_slab_give(s, p[2], n);
    p[2] = clm_slab_take(s, n, &err);
    assert_ptr_equal(p[2], was);
    for (int k = 0; k < 5; k++) clm_slab_give(s, p[k], n);
    clm_slabs_close(s);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_what_is_theirs),
        cmocka_unit_test(freed_room_is_used_again),
        cmocka_unit_test(older_slabs_are_filled_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
