/* Little-endian fields into and out of a bounded buffer. Never a struct as it lies in memory:
 * no padding, no byte order, no uninitialised bytes on the wire or in the journal.
 * A write past the end or a read past the end sets `bad` and is otherwise harmless, so that a
 * codec checks once, at its end. */
#ifndef CLM_CLUSTER_BYTES_H
#define CLM_CLUSTER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct clm_writer {
    unsigned char *to;
    size_t n, cap;
    bool bad;
} clm_writer;

typedef struct clm_reader {
    const unsigned char *from;
    size_t n, at;
    bool bad;
} clm_reader;

static inline void clm_put_uint(clm_writer *w, uint64_t v, size_t bytes) {
    if (w->bad || w->cap - w->n < bytes) {
        w->bad = true;
        return;
    }
    for (size_t i = 0; i < bytes; i++) w->to[w->n++] = (unsigned char)(v >> (8 * i));
}

static inline uint64_t clm_get_uint(clm_reader *r, size_t bytes) {
    if (r->bad || r->n - r->at < bytes) {
        r->bad = true;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)r->from[r->at++] << (8 * i);
    return v;
}

static inline void clm_put_i32(clm_writer *w, int32_t v) { clm_put_uint(w, (uint32_t)v, 4); }
static inline void clm_put_i64(clm_writer *w, int64_t v) { clm_put_uint(w, (uint64_t)v, 8); }
static inline int32_t clm_get_i32(clm_reader *r) { return (int32_t)(uint32_t)clm_get_uint(r, 4); }
static inline int64_t clm_get_i64(clm_reader *r) { return (int64_t)clm_get_uint(r, 8); }

static inline void clm_put_f64(clm_writer *w, double v) {
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    clm_put_uint(w, u, 8);
}

static inline double clm_get_f64(clm_reader *r) {
    uint64_t u = clm_get_uint(r, 8);
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

/** Length in two bytes, then the characters; no terminator. */
static inline void clm_put_text(clm_writer *w, const char *text) {
    size_t n = strlen(text);
    if (n > UINT16_MAX) n = UINT16_MAX;
    clm_put_uint(w, n, 2);
    for (size_t i = 0; i < n; i++) clm_put_uint(w, (unsigned char)text[i], 1);
}

/** Into `out` of cap bytes, terminated; bad when it does not fit or holds a NUL. */
static inline void clm_get_text(clm_reader *r, char *out, size_t cap) {
    size_t n = (size_t)clm_get_uint(r, 2);
    out[0] = 0;
    if (r->bad || n >= cap || r->n - r->at < n || memchr(r->from + r->at, 0, n)) {
        r->bad = true;
        return;
    }
    memcpy(out, r->from + r->at, n);
    out[n] = 0;
    r->at += n;
}

#endif
