/* What HDF5 files hold, understood: filters and a chunk behind them, Imaris's letters, BigDataViewer's factors and
 * paths. Input: kind, then what it takes; all of it in memory. */
#include "collimate/store/hdf5_parts.h"
#include "support/fuzz.h"

#include <math.h>
#include <string.h>

/* up to the next NUL, as reading an attribute gives it */
static void take_text(fuzz_input *in, char out[CLM_IMARIS_TEXT]) {
    size_t at = 0;
    for (unsigned c; in->n && (c = fuzz_take(in)) != 0;)
        if (at < CLM_IMARIS_TEXT - 1) out[at++] = (char)c;
    out[at] = 0;
}

static const int ids[] = {1, 2, 3, 32000, 32001, 32004, 32015, 4, 5, 6, 32008, -1};
enum { IDS = sizeof ids / sizeof ids[0] };

/* count, whether numbers follow, a byte a filter; wanted bytes / 4; filters not passed; then the chunk */
static void chunk(fuzz_input *in) {
    static clm_scratch s; /* kept, as a thread keeps its own */
    clm_err err = CLM_ERR_NONE;
    clm_hdf5_filters f = {.n = (int)(fuzz_take(in) % (CLM_HDF5_FILTERS + 1))};
    clm_chain chain;
    const unsigned char *out = NULL;
    static unsigned char room[1024];
    for (int i = 0; i < f.n; i++) {
        unsigned b = fuzz_take(in);
        f.filter[i].id = ids[b % IDS];
        f.filter[i].n_values = b / IDS % 2 ? 6 : 1;
        f.filter[i].value[0] = b / IDS % 5;
        if (b / IDS % 2) fuzz_take_bytes(in, f.filter[i].value, 6 * sizeof(unsigned));
    }
    size_t want = fuzz_take(in) * 4;
    unsigned skipped = fuzz_take(in);
    unsigned char *exact = clm_heap_new(in->n + 1, 1, &err); /* ends where the heap block ends */
    FUZZ_ASSERT(exact);
    memcpy(exact + 1, in->p, in->n);
    f = clm_hdf5_passed(&f, skipped);
    if (clm_hdf5_is_left_to_library(&f)) {
        if (!clm_hdf5_library_can(&f, exact + 1, in->n, want, &err))
            FUZZ_ASSERT(err.code != CLM_OK && err.text[0]);
    } else if (!clm_hdf5_chain(&f, &chain, &err)) {
        FUZZ_ASSERT(err.code == CLM_E_UNSUPPORTED || err.code == CLM_E_FORMAT);
    } else if (clm_chain_decode(&chain, exact + 1, in->n, want, &s, skipped & 1 ? room : NULL, &out, &err)) {
        static volatile unsigned char sum;
        for (size_t i = 0; i < want; i++) sum = (unsigned char)(sum + out[i]);
    } else {
        FUZZ_ASSERT(err.code == CLM_E_FORMAT || err.code == CLM_E_UNSUPPORTED);
    }
    FUZZ_ASSERT(s.work[0].cap < (1u << 20) && s.work[1].cap < (1u << 20));
    clm_heap_free(exact);
}

static void check_place(const clm_place *p) {
    for (int d = 0; d < 3; d++)
        FUZZ_ASSERT(p->problem[0] ||
                    (p->spacing_um[d] > 0 && isfinite(p->spacing_um[d]) && isfinite(p->origin_um[d])));
    FUZZ_ASSERT(strlen(p->unit) < sizeof p->unit);
}

static void imaris(fuzz_input *in) {
    clm_imaris m;
    int64_t shape[3], padded[3];
    clm_place p = {.slope = 1};
    for (int d = 0; d < 3; d++) padded[d] = shape[d] = 1 + fuzz_take(in);
    for (int d = 0; d < 3; d++) take_text(in, m.size[d]), take_text(in, m.lo[d]), take_text(in, m.hi[d]);
    take_text(in, m.unit);
    clm_imaris_place(&m, shape, &p);
    for (int d = 0; d < 3; d++) FUZZ_ASSERT(shape[d] >= 1 && shape[d] <= padded[d]);
    check_place(&p);
}

static void viewer(fuzz_input *in) {
    double factor[3], voxel[3];
    char text[CLM_IMARIS_TEXT];
    int64_t setup, level;
    clm_place p = {.slope = 1};
    fuzz_take_bytes(in, factor, sizeof factor);
    fuzz_take_bytes(in, voxel, sizeof voxel);
    take_text(in, text);
    clm_bdv_place(factor, voxel, text, &p);
    check_place(&p);
    take_text(in, text);
    if (clm_bdv_cells(text, &setup, &level)) FUZZ_ASSERT(setup >= 0 && setup < 100 && level >= 0);
}

/* one filter each, with what its writer makes of 64 bytes; kinds 1 and 2 */
size_t clm_fuzz_seed(int k, uint8_t *buf, size_t cap) {
    static const clm_codec codec[] = {
        {.kind = CLM_CODEC_ZLIB, .level = 5},
        {.kind = CLM_CODEC_SHUFFLE, .typesize = 2},
        {.kind = CLM_CODEC_BLOSC, .level = 5, .shuffle = 1, .typesize = 2, .cname = "lz4"},
        {.kind = CLM_CODEC_ZSTD, .level = 1}};
    static const uint8_t codec_id[] = {0, 2 * IDS + 1, 4, 6};
    static const uint8_t lz4[] = {0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t lzf[] = {1, 7, 9, 0xe0, 1, 1}; /* two as they are, then ten from two before */
    static const char letters[] = "30\0-3\0"
                                  "27\0"
                                  "15\0"
                                  "0\0"
                                  "7.5\0"
                                  "8\0"
                                  "10\0"
                                  "26\0mm";
    static const double numbers[6] = {2, 2, 1, 200, 300, 1000};
    static const char rest[] = "nm\0t00003/s12/4/cells";
    uint8_t plain[64];
    clm_err err = CLM_ERR_NONE;
    clm_buf made = {0};
    size_t n = 0;
    FUZZ_ASSERT(cap > 512);
    for (int i = 0; i < 64; i++) plain[i] = (uint8_t)(i / 5);
    if (k > 8) return 0;
    buf[n++] = (uint8_t)(k < 7 ? 0 : k - 6);
    if (k < 7) {
        buf[n++] = 1;
        buf[n++] = k < 4 ? codec_id[k] : k == 4 ? 5 : k == 5 ? 3 : 7;
        buf[n++] = k < 4 ? 16 : k == 4 ? 2 : k == 5 ? 3 : 16;
        buf[n++] = 0;
        if (k < 4) FUZZ_ASSERT(clm_codec_encode(&codec[k], plain, 64, &made, &err));
        if (k < 4) memcpy(buf + n, made.data, made.n), n += made.n;
        if (k == 4) memcpy(buf + n, lz4, sizeof lz4), n += sizeof lz4;
        if (k == 5) memcpy(buf + n, lzf, sizeof lzf), n += sizeof lzf;
        if (k == 6) memcpy(buf + n, "\x40\0\0\0\1\2\3\4", 8), n += 8;
        clm_buf_free(&made);
    } else if (k == 7) {
        memset(buf + n, 31, 3), n += 3;
        memcpy(buf + n, letters, sizeof letters), n += sizeof letters;
    } else {
        memcpy(buf + n, numbers, sizeof numbers), n += sizeof numbers;
        memcpy(buf + n, rest, sizeof rest), n += sizeof rest;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    unsigned kind = fuzz_take(&in) % 3;
    if (kind == 0) chunk(&in);
    if (kind == 1) imaris(&in);
    if (kind == 2) viewer(&in);
    return 0;
}
