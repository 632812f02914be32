#include "collimate/store/spill.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/codec/codec.h"
#include "collimate/codec/codec_family.h"
#include "collimate/store/format.h"

#include <string.h>

/* "CLMSPILL" u32 version, u32 CRC-32C of all that follows, u64 plan, i64 index, i32 stage, u32 sections,
 * u64 payload bytes, u64 stored bytes (less: one zstd frame; equal: as it is), sections, payload.
 * A section: name[16], u32 dtype, u32 0, i64 shape[4]; their data stand one after the other in the payload. */
#define VERSION 1u
#define HEADER 56u
#define SECTION 56u
#define MOST ((size_t)1 << 34)

static bool section_bytes(const clm_section *s, int64_t *out, clm_err *err) {
    int64_t n;
    for (int d = 0; d < 4; d++)
        if (s->shape[d] < 0) return clm_fail(err, CLM_E_FORMAT, "section %.15s: negative shape", s->name);
    if (!clm_product(4, s->shape, (int64_t)(MOST / 16), &n, err))
        return clm_err_in(err, "section %.15s", s->name);
    *out = n * (int64_t)clm_dtype_size(s->dtype);
    return true;
}

bool clm_spill_put(const char *path, uint64_t plan_hash, int32_t stage, int64_t index,
                   const clm_section *section, int n, clm_err *err) {
    clm_scratch *s = clm_scratch_mine(err);
    int64_t bytes[CLM_SPILL_SECTIONS];
    size_t total = 0, at = 0, head = HEADER + SECTION * (size_t)n;
    if (!s) return false;
    if (n < 0 || n > CLM_SPILL_SECTIONS) return clm_fail(err, CLM_E_ARG, "%d sections", n);
    for (int i = 0; i < n; i++) {
        if (!section_bytes(&section[i], &bytes[i], err)) return false;
        total += (size_t)bytes[i];
    }
    if (total > MOST - head)
        return clm_fail(err, CLM_E_ARG,
                        "%s: %zu bytes of one task, at most %zu can be read back: make blocks smaller", path,
                        total, MOST - head);
    if (!clm_buf_reserve(&s->pad, total + 1, err)) return false;
    for (int i = 0; i < n; i++) {
        if (bytes[i]) memcpy(s->pad.data + at, section[i].data, (size_t)bytes[i]);
        at += (size_t)bytes[i];
    }
    clm_codec zstd = {.kind = CLM_CODEC_ZSTD, .level = 1};
    if (!clm_codec_encode(&zstd, s->pad.data, total, &s->work[0], err)) return false;
    bool packed = s->work[0].n < total;
    size_t stored = packed ? s->work[0].n : total;
    if (!clm_buf_reserve(&s->file, head + stored, err)) return false;
    unsigned char *p = s->file.data;
    memset(p, 0, head);
    memcpy(p, "CLMSPILL", 8);
    clm_put_le32(p + 8, VERSION);
    clm_put_le64(p + 16, plan_hash);
    clm_put_le64(p + 24, (uint64_t)index);
    clm_put_le32(p + 32, (uint32_t)stage);
    clm_put_le32(p + 36, (uint32_t)n);
    clm_put_le64(p + 40, total);
    clm_put_le64(p + 48, stored);
    for (int i = 0; i < n; i++) {
        unsigned char *q = p + HEADER + SECTION * (size_t)i;
        memcpy(q, section[i].name, strnlen(section[i].name, 15));
        clm_put_le32(q + 16, (uint32_t)section[i].dtype);
        for (int d = 0; d < 4; d++) clm_put_le64(q + 24 + 8 * d, (uint64_t)section[i].shape[d]);
    }
    memcpy(p + head, packed ? s->work[0].data : s->pad.data, stored);
    clm_put_le32(p + 12, clm_crc32c(0, p + 16, head - 16 + stored));
    return clm_file_publish(path, p, head + stored, false, err);
}

static bool parse_head(const unsigned char *p, size_t n, uint64_t plan_hash, clm_spill *out, size_t *total,
                       size_t *stored, clm_err *err) {
    if (n < HEADER || memcmp(p, "CLMSPILL", 8) != 0) return clm_fail(err, CLM_E_FORMAT, "not a block result");
    if (clm_le32(p + 8) != VERSION)
        return clm_fail(err, CLM_E_FORMAT, "version %u, %u is understood", (unsigned)clm_le32(p + 8),
                        VERSION);
    if (clm_crc32c(0, p + 16, n - 16) != clm_le32(p + 12))
        return clm_fail(err, CLM_E_FORMAT, "checksum differs: torn or damaged");
    if (clm_le64(p + 16) != plan_hash) return clm_fail(err, CLM_E_FORMAT, "of another plan");
    out->index = (int64_t)clm_le64(p + 24);
    out->stage = (int32_t)clm_le32(p + 32);
    uint32_t sections = clm_le32(p + 36);
    *total = (size_t)clm_le64(p + 40);
    *stored = (size_t)clm_le64(p + 48);
    if (sections > CLM_SPILL_SECTIONS || n - HEADER < SECTION * (size_t)sections ||
        n - HEADER - SECTION * (size_t)sections != *stored || *stored > *total || *total > MOST)
        return clm_fail(err, CLM_E_FORMAT, "lengths do not fit");
    out->n = (int)sections;
    return true;
}

static bool parse_sections(const unsigned char *p, clm_spill *out, size_t total, clm_err *err) {
    size_t sum = 0;
    for (int i = 0; i < out->n; i++, p += SECTION) {
        clm_section *s = &out->section[i];
        int64_t bytes;
        memcpy(s->name, p, 15);
        if (clm_le32(p + 16) >= CLM_DTYPE_COUNT) return clm_fail(err, CLM_E_FORMAT, "element type");
        s->dtype = (clm_dtype)clm_le32(p + 16);
        for (int d = 0; d < 4; d++) s->shape[d] = (int64_t)clm_le64(p + 24 + 8 * d);
        if (!section_bytes(s, &bytes, err)) return false;
        sum += (size_t)bytes;
    }
    return sum == total || clm_fail(err, CLM_E_FORMAT, "sections and payload differ in size");
}

static bool unpack(const unsigned char *p, size_t stored, size_t total, clm_spill *s, clm_arena *a,
                   clm_err *err) {
    size_t made = total, at = 0;
    unsigned char *data = clm_arena_take(a, (int64_t)total + 1, 1, err);
    if (!data) return false;
    clm_codec zstd = {.kind = CLM_CODEC_ZSTD};
    if (stored < total ? !clm_codec_decode(&zstd, p, stored, data, total, &made, err)
                       : (memcpy(data, p, total), false))
        return false;
    if (made != total) return clm_fail(err, CLM_E_FORMAT, "payload of %zu bytes, %zu expected", made, total);
    for (int i = 0; i < s->n; i++) {
        size_t bytes = (size_t)clm_section_count(&s->section[i]) * clm_dtype_size(s->section[i].dtype);
        void *own = data + at;
        /* a section that would start at an odd place gets one of its own */
        if (at % 8 && bytes) {
            own = clm_arena_take(a, (int64_t)bytes, 1, err);
            if (!own) return false;
            memcpy(own, data + at, bytes);
        }
        s->section[i].data = own;
        at += bytes;
    }
    return true;
}

bool clm_spill_read(const char *path, uint64_t plan_hash, clm_arena *a, clm_spill *out, clm_err *err) {
    clm_scratch *s = clm_scratch_mine(err);
    clm_spill spill = {0};
    size_t total = 0, stored = 0;
    if (!s || !clm_file_read(path, MOST, &s->file, err)) return false;
    const unsigned char *p = s->file.data;
    bool ok = parse_head(p, s->file.n, plan_hash, &spill, &total, &stored, err) &&
              parse_sections(p + HEADER, &spill, total, err) &&
              unpack(p + HEADER + SECTION * (size_t)spill.n, stored, total, &spill, a, err);
    if (ok) *out = spill;
    return ok ? true : clm_err_in(err, "%s", path);
}

const clm_section *clm_spill_find(const clm_spill *s, const char *name) {
    for (int i = 0; i < s->n; i++)
        if (strncmp(s->section[i].name, name, 15) == 0) return &s->section[i];
    return NULL;
}
