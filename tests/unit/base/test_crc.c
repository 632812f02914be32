#include "collimate/base/crc.h"
#include "collimate/base/rng.h"
#include "support/near.h"

#include <string.h>

/* bit by bit, from the polynomial: slow and plain */
static uint32_t reference(uint32_t crc, const unsigned char *p, size_t n) {
    crc = ~crc;
    for (; n; p++, n--) {
        crc ^= *p;
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (crc & 1u ? 0x82f63b78u : 0u);
    }
    return ~crc;
}

/* RFC 3720, appendix B.4, and the usual check value */
static void known_vectors(void **state) {
    (void)state;
    unsigned char b[32];
    assert_true(clm_crc32c(0, "123456789", 9) == 0xe3069283u);
    assert_true(clm_crc32c(0, "", 0) == 0);
    memset(b, 0, sizeof b);
    assert_true(clm_crc32c(0, b, 32) == 0x8a9136aau);
    memset(b, 0xff, sizeof b);
    assert_true(clm_crc32c(0, b, 32) == 0x62a8ab43u);
    for (int i = 0; i < 32; i++) b[i] = (unsigned char)i;
    assert_true(clm_crc32c(0, b, 32) == 0x46dd794eu);
    for (int i = 0; i < 32; i++) b[i] = (unsigned char)(31 - i);
    assert_true(clm_crc32c(0, b, 32) == 0x113fdb5cu);
}

static void all_ways_agree_at_any_length_place_and_cut(void **state) {
    (void)state;
    unsigned char b[400];
    for (size_t i = 0; i < sizeof b; i++) b[i] = (unsigned char)clm_rng_bits(1, 1, i);
    for (size_t at = 0; at < 9; at++) {
        for (size_t n = 0; n < 300; n++) {
            uint32_t want = reference(0, b + at, n);
            assert_true(clm_crc32c(0, b + at, n) == want);
            assert_true(clm_crc32c_portable(0, b + at, n) == want);
            size_t cut = (size_t)clm_rng_below(1, at, n, (int64_t)n + 1);
            assert_true(clm_crc32c(clm_crc32c(0, b + at, cut), b + at + cut, n - cut) == want);
            assert_true(clm_crc32c_portable(clm_crc32c(0, b + at, cut), b + at + cut, n - cut) == want);
        }
    }
}

static void one_flipped_bit_shows(void **state) {
    (void)state;
    unsigned char b[64] = {0};
    uint32_t whole = clm_crc32c(0, b, sizeof b);
    for (int bit = 0; bit < 512; bit++) {
        b[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        assert_true(clm_crc32c(0, b, sizeof b) != whole);
        b[bit / 8] = 0;
    }
}

/* published test vectors of 64-bit FNV-1a */
static void hash_is_fnv_1a(void **state) {
    (void)state;
    assert_true(clm_hash64(CLM_HASH_BEGIN, "", 0) == 0xcbf29ce484222325u);
    assert_true(clm_hash64(CLM_HASH_BEGIN, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(clm_hash64(CLM_HASH_BEGIN, "foobar", 6) == 0x85944171f73967e8u);
    assert_true(clm_hash64(clm_hash64(CLM_HASH_BEGIN, "foo", 3), "bar", 3) == 0x85944171f73967e8u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors), cmocka_unit_test(all_ways_agree_at_any_length_place_and_cut),
        cmocka_unit_test(one_flipped_bit_shows), cmocka_unit_test(hash_is_fnv_1a)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
