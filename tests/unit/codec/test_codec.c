#include "support/near.h"

#include "collimate/base/rng.h"
#include "collimate/codec/codec.h"
#include "collimate/codec/codec_json.h"
#include "collimate/codec/codec_family.h"

#include <stdio.h>
#include <string.h>

enum { N = 20000 };

/* smooth with noise: compressible, but not trivially */
static void make(unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)((i / 97) ^ (clm_rng_bits(7, 1, i) & 3u));
}

static const char *const names[] = {"gzip", "zlib", "zstd", "blosc"};

static void round_trips(void **state) {
    (void)state;
    static unsigned char src[N], dst[N];
    static const clm_dtype types[] = {CLM_U8, CLM_U16, CLM_F32, CLM_F64};
    clm_err err = CLM_ERR_NONE;
    clm_buf out = {0};
    make(src, N);
    for (int k = 0; k < 4; k++)
        for (int t = 0; t < 4; t++)
            for (size_t n = 0; n <= N; n = n ? n * 5 : 8) {
                clm_codec c;
                size_t made = 0;
                assert_ok(clm_codec_named(names[k], -1, types[t], &c, &err), err);
                assert_ok(clm_codec_encode(&c, src, n, &out, &err), err);
                assert_ok(clm_codec_decode(&c, out.data, out.n, dst, N, &made, &err), err);
                assert_int_equal(made, n);
                assert_memory_equal(dst, src, n);
            }
    clm_buf_free(&out);
}

/* Cut anywhere, a stream is refused, and nothing beyond its end is read: the copy ends where it is cut. */
static void cut_streams_are_refused(void **state) {
    (void)state;
    static unsigned char src[N], dst[N];
    clm_err err = CLM_ERR_NONE;
    clm_buf out = {0};
    make(src, N);
    for (int k = 0; k < 4; k++) {
        clm_codec c;
        assert_ok(clm_codec_named(names[k], -1, CLM_U16, &c, &err), err);
        assert_ok(clm_codec_encode(&c, src, N, &out, &err), err);
        for (size_t n = 0; n < out.n; n += 1 + out.n / 61) {
            unsigned char *cut = clm_heap_new(n + 1, 1, &err);
            assert_non_null(cut);
            memcpy(cut + 1, out.data, n); /* +1: any alignment */
            size_t made = 0;
            assert_fails(CLM_E_FORMAT, clm_codec_decode(&c, cut + 1, n, dst, N, &made, &err), err);
            clm_heap_free(cut);
        }
        size_t made = 0; /* too small a destination is refused, not overrun */
        assert_fails(CLM_E_FORMAT, clm_codec_decode(&c, out.data, out.n, dst, N - 1, &made, &err), err);
    }
    clm_buf_free(&out);
}

/* Any one byte changed: refused or decoded, never a crash, never beyond the destination. */
static void flipped_bytes_do_no_harm(void **state) {
    (void)state;
    static unsigned char src[N];
    clm_err err = CLM_ERR_NONE;
    clm_buf out = {0};
    unsigned char *dst = clm_heap_new(N, 1, &err);
    make(src, N);
    for (int k = 0; k < 4; k++) {
        clm_codec c;
        assert_ok(clm_codec_named(names[k], -1, CLM_U16, &c, &err), err);
        assert_ok(clm_codec_encode(&c, src, N, &out, &err), err);
        for (int trial = 0; trial < 400; trial++) {
            size_t at = trial < 40 ? (size_t)trial
                                   : (size_t)clm_rng_below(3, (uint64_t)k, (uint64_t)trial, (int64_t)out.n);
            unsigned char old = out.data[at];
            size_t made = 0;
            out.data[at] ^= (unsigned char)(1u << trial % 8);
            bool ok = clm_codec_decode(&c, out.data, out.n, dst, N, &made, &err);
            assert_true(!ok || made <= N);
            out.data[at] = old;
        }
    }
    clm_heap_free(dst);
    clm_buf_free(&out);
}

static void gzip_members_run_on(void **state) {
    (void)state;
    static unsigned char src[N], dst[N];
    clm_err err = CLM_ERR_NONE;
    clm_codec c = {.kind = CLM_CODEC_GZIP, .level = 1};
    clm_buf a = {0}, b = {0};
    size_t made = 0;
    make(src, N);
    assert_ok(clm_codec_encode(&c, src, 5000, &a, &err), err);
    assert_ok(clm_codec_encode(&c, src + 5000, N - 5000, &b, &err), err);
    assert_ok(clm_buf_reserve(&a, a.n + b.n + 1, &err), err);
    memcpy(a.data + a.n, b.data, b.n);
    assert_ok(clm_codec_decode(&c, a.data, a.n + b.n, dst, N, &made, &err), err);
    assert_int_equal(made, N);
    assert_memory_equal(dst, src, N);
    a.data[a.n + b.n] = 'x'; /* anything else behind the last member is damage */
    assert_fails(CLM_E_FORMAT, clm_codec_decode(&c, a.data, a.n + b.n + 1, dst, N, &made, &err), err);
    clm_buf_free(&a);
    clm_buf_free(&b);
}

static void lz4_layouts(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_codec numcodecs = {.kind = CLM_CODEC_LZ4}, n5 = {.kind = CLM_CODEC_LZ4_N5};
    static unsigned char src[N], dst[N];
    clm_buf out = {0};
    size_t made = 0;
    make(src, N);
    assert_ok(clm_codec_encode(&numcodecs, src, N, &out, &err), err);
    assert_ok(clm_codec_decode(&numcodecs, out.data, out.n, dst, N, &made, &err), err);
    assert_memory_equal(dst, src, N);
    memset(dst, 0, N); /* the same bytes under N5's name, with the size in front and without */
    assert_ok(clm_codec_decode(&n5, out.data, out.n, dst, N, &made, &err), err);
    assert_memory_equal(dst, src, N);
    memset(dst, 0, N);
    assert_ok(clm_codec_decode(&n5, out.data + 4, out.n - 4, dst, N, &made, &err), err);
    assert_memory_equal(dst, src, N);
    clm_buf_free(&out);
}

static void chains(void **state) {
    (void)state;
    static unsigned char src[N];
    clm_err err = CLM_ERR_NONE;
    clm_scratch s = {0}, back = {0};
    clm_chain c = {.n = 4,
                   .codec = {{.kind = CLM_CODEC_SHUFFLE, .typesize = 4},
                             {.kind = CLM_CODEC_ZSTD, .level = 1},
                             {.kind = CLM_CODEC_GZIP, .level = 1},
                             {.kind = CLM_CODEC_CHECKSUM, .checksum = CLM_SUM_CRC32C}}};
    const unsigned char *coded, *plain;
    size_t coded_n;
    make(src, N);
    for (int n = 0; n <= 4; n++) { /* every head of the chain */
        c.n = n;
        assert_ok(clm_chain_encode(&c, src, N, &s, &coded, &coded_n, &err), err);
        assert_ok(clm_chain_decode(&c, coded, coded_n, N, &back, NULL, &plain, &err), err);
        assert_memory_equal(plain, src, N);
        assert_fails(CLM_E_FORMAT, clm_chain_decode(&c, coded, coded_n, N - 4, &back, NULL, &plain, &err),
                     err);
        assert_fails(CLM_E_FORMAT, clm_chain_decode(&c, coded, coded_n, N + 4, &back, NULL, &plain, &err),
                     err);
    }
    ((unsigned char *)(uintptr_t)coded)[coded_n / 2] ^= 1; /* the checksum sees it */
    assert_fails(CLM_E_FORMAT, clm_chain_decode(&c, coded, coded_n, N, &back, NULL, &plain, &err), err);
    clm_scratch_free(&s);
    clm_scratch_free(&back);
}

/* The blocks of a blosc buffer in reverse order, as writers with several threads may leave them. */
static void reverse_blocks(const clm_buf *in, unsigned char *out) {
    size_t block = clm_le32(in->data + 8), count = (clm_le32(in->data + 4) + block - 1) / block,
           at = 16 + 4 * count;
    memcpy(out, in->data, in->n);
    for (size_t k = count; k-- > 0;) {
        size_t from = clm_le32(in->data + 16 + 4 * k);
        size_t to = k + 1 < count ? clm_le32(in->data + 16 + 4 * (k + 1)) : in->n;
        memcpy(out + at, in->data + from, to - from);
        clm_put_le32(out + 16 + 4 * k, (uint32_t)at);
        at += to - from;
    }
}

static void parts_of_blosc_are_those_of_the_whole(void **state) {
    (void)state;
    static const char *const inner[] = {"zstd", "lz4", "blosclz", "zlib"};
    static unsigned char src[N];
    static unsigned char turned[2 * N];
    clm_err err = CLM_ERR_NONE;
    clm_buf coded = {0};
    clm_scratch s = {0};
    const unsigned char *plain;
    make(src, N);
    for (int k = 0; k < 4 * 3 * 4 * 2; k++) {
        clm_chain c = {.n = 1,
                       .codec = {{.kind = CLM_CODEC_BLOSC,
                                  .level = k / 48 ? 0 : 1,
                                  .shuffle = k / 4 % 3,
                                  .typesize = 1 << k / 12 % 4,
                                  .blocksize = 1024}}};
        (void)snprintf(c.codec[0].cname, sizeof c.codec[0].cname, "%s", inner[k % 4]);
        size_t n = N - N % 8 - (k % 5 ? 8 : 0); /* with a shorter last block, too */
        assert_ok(clm_codec_encode(&c.codec[0], src, n, &coded, &err), err);
        bool stored = coded.data[2] & 2; /* as it is, without blocks */
        for (int turn = 0; turn < (stored ? 1 : 2); turn++) {
            if (turn) reverse_blocks(&coded, turned);
            const unsigned char *from = turn ? turned : coded.data;
            for (size_t lo = 0; lo < n; lo += 333)
                for (size_t hi = lo + 1; hi <= n; hi += 1777) {
                    if (s.work[1].data) memset(s.work[1].data, 0xee, s.work[1].cap);
                    assert_ok(clm_chain_decode_part(&c, from, coded.n, n, lo, hi, &s, &plain, &err), err);
                    assert_memory_equal(plain + lo, src + lo, hi - lo);
                }
            assert_ok(clm_chain_decode(&c, from, coded.n, n, &s, NULL, &plain, &err), err);
            assert_memory_equal(plain, src, n);
            assert_ok(clm_chain_decode_part(&c, from, coded.n, n, n - 1, n, &s, &plain, &err), err);
            assert_int_equal(plain[n - 1], src[n - 1]);
        }
    }
    clm_buf_free(&coded);
    clm_scratch_free(&s);
}

static void a_part_of_blosc_leaves_the_other_blocks_alone(void **state) {
    (void)state;
    static unsigned char src[N];
    clm_err err = CLM_ERR_NONE;
    clm_buf coded = {0};
    clm_scratch s = {0};
    const unsigned char *plain;
    clm_chain c = {
        .n = 1,
        .codec = {{.kind = CLM_CODEC_BLOSC, .level = 1, .typesize = 2, .blocksize = 1024, .cname = "zstd"}}};
    make(src, N);
    assert_ok(clm_codec_encode(&c.codec[0], src, N, &coded, &err), err);
    size_t second = clm_le32(coded.data + 20);
    memset(coded.data + second, 0xff, coded.n - second); /* only the first block is whole */
    assert_ok(clm_chain_decode_part(&c, coded.data, coded.n, N, 0, 1024, &s, &plain, &err), err);
    assert_memory_equal(plain, src, 1024);
    assert_fails(CLM_E_FORMAT, clm_chain_decode_part(&c, coded.data, coded.n, N, 0, 1025, &s, &plain, &err),
                 err);
    clm_put_le32(coded.data + 16, 12); /* a block within the header */
    assert_fails(CLM_E_FORMAT, clm_chain_decode_part(&c, coded.data, coded.n, N, 0, 1024, &s, &plain, &err),
                 err);
    clm_put_le32(coded.data + 16, (uint32_t)coded.n); /* ... and beyond the end */
    assert_fails(CLM_E_FORMAT, clm_chain_decode_part(&c, coded.data, coded.n, N, 0, 1024, &s, &plain, &err),
                 err);
    assert_fails(CLM_E_FORMAT, clm_chain_decode_part(&c, coded.data, coded.n, N + 2, 0, 2, &s, &plain, &err),
                 err);
    clm_buf_free(&coded);
    clm_scratch_free(&s);
}

static void bombs_are_refused_before_memory_is_taken(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    static unsigned char blosc[64] = {2, 1, 1, 2, 0, 0, 0, 0x7f, 0, 0, 1, 0, 64, 0, 0, 0};
    clm_chain c = {.n = 1, .codec = {{.kind = CLM_CODEC_BLOSC}}};
    clm_scratch s = {0};
    const unsigned char *plain;
    assert_fails(CLM_E_FORMAT, clm_chain_decode(&c, blosc, sizeof blosc, 1 << 20, &s, NULL, &plain, &err),
                 err);
    assert_int_equal(s.work[0].cap + s.work[1].cap, 0);
    c.codec[0].kind = CLM_CODEC_GZIP; /* 64 bytes cannot be a gigabyte */
    assert_fails(CLM_E_FORMAT, clm_chain_decode(&c, blosc, sizeof blosc, 1 << 30, &s, NULL, &plain, &err),
                 err);
    assert_int_equal(s.work[0].cap + s.work[1].cap, 0);
    clm_scratch_free(&s);
}

static void names_are_checked(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_codec c;
    assert_fails(CLM_E_ARG, clm_codec_named("zstdd", -1, CLM_U8, &c, &err), err);
    assert_non_null(strstr(err.text, "zstd"));
    assert_fails(CLM_E_ARG, clm_codec_named("gzip", 10, CLM_U8, &c, &err), err);
}

/* Sums as numcodecs 0.16 computes them, of nothing, "a", 12, 13 and 40 bytes. */
static void checksums_are_the_writers(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        uint32_t sum;
    } known[] = {{"", 0, 0xdeadbeef},
                 {"a", 1, 0x58d68708},
                 {"abcdefghijkl", 12, 0x4012f87b},
                 {"abcdefghijklm", 13, 0x928128f9},
                 {"\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37"
                  "\40\41\42\43\44\45\46\47",
                  40, 0x1c9fa888}};
    const clm_codec c = {.kind = CLM_CODEC_CHECKSUM, .checksum = CLM_SUM_LOOKUP3};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        unsigned char coded[48], plain[48];
        size_t n = known[i].n, made;
        memcpy(coded, known[i].bytes, n);
        for (int b = 0; b < 4; b++) coded[n + (size_t)b] = (unsigned char)(known[i].sum >> 8 * b);
        assert_ok(clm_codec_decode(&c, coded, n + 4, plain, sizeof plain, &made, &err), err);
        assert_int_equal(made, n);
        assert_memory_equal(plain, known[i].bytes, n);
        coded[n] ^= 1;
        assert_fails(CLM_E_FORMAT, clm_codec_decode(&c, coded, n + 4, plain, sizeof plain, &made, &err), err);
    }
}

/* The document's digits decide, not the double that JSON makes of them. */
static void whole_fill_values_keep_every_bit(void **state) {
    (void)state;
    static const struct {
        const char *digits;
        clm_dtype type;
        bool fits;
        uint64_t bits;
    } row[] = {{"-0", CLM_U16, true, 0},
               {"18446744073709551615", CLM_U64, true, UINT64_MAX},
               {"18446744073709551616", CLM_U64, false, 0},
               {"-9223372036854775808", CLM_I64, true, (uint64_t)1 << 63},
               {"-1", CLM_I16, true, 0xffff},
               {"-1", CLM_U16, false, 0},
               {"256", CLM_U8, false, 0}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        clm_err err = CLM_ERR_NONE;
        clm_json *v = NULL;
        unsigned char element[16];
        uint64_t bits = 0;
        assert_ok(clm_json_parse(row[i].digits, strlen(row[i].digits), "fill", &v, &err), err);
        bool fits = clm_fill_parse(v, row[i].digits, row[i].type, true, element, &err);
        memcpy(&bits, element, clm_dtype_size(row[i].type));
        if (fits != row[i].fits || (fits && bits != row[i].bits)) fail_msg("%s", row[i].digits);
        clm_json_free(v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(cut_streams_are_refused),
        cmocka_unit_test(flipped_bytes_do_no_harm),
        cmocka_unit_test(gzip_members_run_on),
        cmocka_unit_test(lz4_layouts),
        cmocka_unit_test(chains),
        cmocka_unit_test(parts_of_blosc_are_those_of_the_whole),
        cmocka_unit_test(a_part_of_blosc_leaves_the_other_blocks_alone),
        cmocka_unit_test(checksums_are_the_writers),
        cmocka_unit_test(bombs_are_refused_before_memory_is_taken),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(whole_fill_values_keep_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
