#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/store/format.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* One decoded chunk as it lies, native or not. */
typedef struct fetch {
    const clm_array *a;
    int64_t index[CLM_DIMS_MAX];
    int64_t clip[CLM_DIMS_MAX]; /* its elements inside the array */
    size_t clip_bytes;
} fetch;

/* The whole file of a chunk. */
static bool load_file(const fetch *f, clm_scratch *s, const clm_want *w, clm_chunk *c, clm_err *err) {
    const clm_array *a = f->a;
    char path[CLM_PATH_MAX];
    clm_err missing = CLM_ERR_NONE;
    int64_t n;
    if (!a->ops->where(a, f->index, path, err) ||
        !clm_product(a->info.ndim, a->info.chunk, CLM_CHUNK_BYTES_MAX, &n, err))
        return false;
    /* as large as a codec may make it, and an index of 16 bytes a piece */
    if (!clm_file_read(path, (size_t)n * (a->size * 2 + 32) + 65536, &s->file, &missing)) {
        if (missing.code == CLM_E_NOTFOUND) return true; /* absent: fill */
        *err = missing;
        return false;
    }
    return a->ops->decode(a, f->index, s->file.data, s->file.n, s, w, c, err) || clm_err_in(err, "%s", path);
}

static bool load_once(const fetch *f, clm_scratch *s, const clm_want *w, clm_chunk *c, clm_err *err) {
    return f->a->ops->load ? f->a->ops->load(f->a, f->index, s, w, c, err) : load_file(f, s, w, c, err);
}

static bool load_chunk(const fetch *f, clm_scratch *s, const clm_want *w, clm_chunk *c, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_err first = CLM_ERR_NONE, ignored = CLM_ERR_NONE;
    if (load_once(f, s, w, c, &first)) return true;
    if (first.code == CLM_E_FORMAT && f->a->ops->where && f->a->ops->where(f->a, f->index, path, &ignored) &&
        clm_file_is_fresh(path, CLM_FRESH_S)) {
        clm_nap_us(CLM_FRESH_PAUSE_US);
        *c = (clm_chunk){0};
        first = CLM_ERR_NONE;
        if (load_once(f, s, w, c, &first)) return true;
    }
    *err = first;
    if (strstr(err->text, f->a->path)) return false; /* names the chunk's file already */
    return clm_err_in(err, "%s: chunk %s", f->a->path, clm_index_say(f->a->info.ndim, f->index).s);
}

/* For the cache: packed, native, clipped. */
static bool fill_cached(void *ctx, clm_slabs *room, clm_cached *out, clm_err *err) {
    const fetch *f = ctx;
    const clm_array *a = f->a;
    clm_scratch *s = clm_scratch_mine(err);
    clm_chunk c = {0};
    int64_t stride[CLM_DIMS_MAX], extent[CLM_DIMS_MAX];
    void *own = s ? clm_slab_take(room, f->clip_bytes, err) : NULL;
    if (!own) return false;
    clm_want all = {.into = own, .into_bytes = f->clip_bytes};
    memcpy(all.hi, f->clip, sizeof all.hi);
    if (!load_chunk(f, s, &all, &c, err)) {
        clm_slab_give(room, own, f->clip_bytes);
        return false;
    }
    if (!c.data) {
        clm_slab_give(room, own, f->clip_bytes);
        return true;
    }
    out->data = own;
    out->bytes = f->clip_bytes;
    if (c.data == own) {
        if (c.swap) clm_swap_bytes(own, a->unit, (int64_t)(f->clip_bytes / a->unit));
        return true;
    }
    (void)clm_strides(a->info.ndim, f->clip, stride);
    bool whole = true;
    for (int d = 0; d < a->info.ndim; d++) {
        extent[d] = c.extent[d] < f->clip[d] ? c.extent[d] : f->clip[d];
        whole = whole && extent[d] == f->clip[d];
    }
    if (!whole) clm_fill_block(a->info.ndim, f->clip, own, stride, a->info.fill, a->size);
    clm_copy_block(a->info.ndim, extent, c.data, c.stride, own, stride, a->size, a->unit, c.swap);
    return true;
}

typedef struct request {
    const clm_array *a;
    const int64_t *lo, *hi;
    clm_piece_fn fn;
    clm_place_fn place;
    void *ctx;
} request;

/* What of chunk f lies in the request; extent: how far its data go. */
static clm_piece piece_of(const request *r, const fetch *f, const clm_chunk *c, bool *whole) {
    clm_piece p = {.swap = c->swap};
    int64_t offset = 0;
    bool none = c->data == NULL;
    *whole = true;
    for (int d = 0; d < r->a->info.ndim; d++) {
        int64_t base = f->index[d] * r->a->info.inner[d], end = base + f->clip[d];
        int64_t data_end = none || c->extent[d] > f->clip[d] ? end : base + c->extent[d];
        p.lo[d] = base > r->lo[d] ? base : r->lo[d];
        p.hi[d] = data_end < r->hi[d] ? data_end : r->hi[d];
        if (data_end < end && end > p.hi[d] && p.hi[d] < r->hi[d]) *whole = false;
        p.stride[d] = c->stride[d];
        offset += (p.lo[d] - base) * c->stride[d];
    }
    if (!none) p.data = c->data + offset * (int64_t)r->a->size;
    return p;
}

static bool give_piece(const request *r, const fetch *f, const clm_chunk *c, clm_err *err) {
    bool whole;
    clm_piece p = piece_of(r, f, c, &whole);
    if (!whole) { /* a block shorter than its place: the rest is fill */
        bool ignored;
        clm_piece blank = piece_of(r, f, &(clm_chunk){0}, &ignored);
        if (!r->fn(r->ctx, r->a, &blank, err)) return false;
        for (int d = 0; d < r->a->info.ndim; d++)
            if (p.hi[d] <= p.lo[d]) return true;
    }
    return r->fn(r->ctx, r->a, &p, err);
}

static uint64_t number_of(const fetch *f) {
    const clm_array_info *i = &f->a->info;
    uint64_t number = 0;
    for (int d = 0; d < i->ndim; d++) {
        int64_t grid = (i->shape[d] + i->inner[d] - 1) / i->inner[d];
        number = number * (uint64_t)grid + (uint64_t)f->index[d];
    }
    return number;
}

static bool each_cached(const request *r, fetch *f, clm_err *err) {
    const clm_cached *held = NULL;
    if (!clm_cache_take(r->a->cache, r->a->cache_id, number_of(f), fill_cached, f, &held, err)) return false;
    clm_chunk c = {.data = held->data};
    memcpy(c.extent, f->clip, sizeof c.extent);
    (void)clm_strides(r->a->info.ndim, f->clip, c.stride);
    bool ok = give_piece(r, f, &c, err);
    clm_cache_give(r->a->cache, held);
    return ok;
}

static bool each_direct(const request *r, fetch *f, clm_err *err) {
    clm_scratch *s = clm_scratch_mine(err);
    if (!s) return false;
    clm_want w = {.into_bytes = f->clip_bytes};
    int64_t lo[CLM_DIMS_MAX], hi[CLM_DIMS_MAX];
    bool inside = r->place != NULL;
    for (int d = 0; d < r->a->info.ndim; d++) {
        lo[d] = f->index[d] * r->a->info.inner[d];
        hi[d] = lo[d] + f->clip[d];
        w.lo[d] = lo[d] < r->lo[d] ? r->lo[d] - lo[d] : 0;
        w.hi[d] = (hi[d] < r->hi[d] ? hi[d] : r->hi[d]) - lo[d];
        inside = inside && w.hi[d] - w.lo[d] == f->clip[d];
    }
    if (inside) w.into = r->place(r->ctx, lo, hi);
    clm_chunk c = {0};
    return load_chunk(f, s, &w, &c, err) && give_piece(r, f, &c, err);
}

/* ---- all chunks of a request, by one thread or several ---- */

#define THREADS_MOST 256
#define AHEAD 8 /* chunks whose files are asked for before they are read */

typedef struct sharing {
    const request *r;
    int64_t first[CLM_DIMS_MAX], extent[CLM_DIMS_MAX], n; /* of the grid of inner chunks */
    atomic_int_least64_t next, asked;
    pthread_mutex_t lock;
    int64_t worst; /* the first in C order that failed; n: none */
    clm_err err;
} sharing;

static void set_fetch(const sharing *s, int64_t k, fetch *f) {
    const clm_array_info *i = &s->r->a->info;
    f->a = s->r->a;
    for (int d = i->ndim - 1; d >= 0; d--) {
        f->index[d] = s->first[d] + k % s->extent[d];
        k /= s->extent[d];
    }
    (void)clm_chunk_clip(i, i->inner, f->index, f->clip);
    f->clip_bytes = s->r->a->size;
    for (int d = 0; d < i->ndim; d++) f->clip_bytes *= (size_t)f->clip[d];
}

/* While one chunk is decoded the files of the next ones come. Shards are too large to ask for whole. */
static void ask_ahead(sharing *s, int64_t k) {
    const clm_array *a = s->r->a;
    if (s->n < 2 || !a->ops->where || a->ops->load) return;
    int64_t until = k + AHEAD < s->n ? k + AHEAD : s->n, i;
    while (atomic_load(&s->asked) < until && (i = atomic_fetch_add(&s->asked, 1)) < s->n) {
        char path[CLM_PATH_MAX];
        clm_err ignored = CLM_ERR_NONE;
        fetch f;
        set_fetch(s, i, &f);
        if (a->cache && clm_cache_holds(a->cache, a->cache_id, number_of(&f))) continue;
        if (a->ops->where(a, f.index, path, &ignored)) clm_file_prefetch(path);
    }
}

static void *take_chunks(void *arg) {
    sharing *s = arg;
    for (int64_t k; (k = atomic_fetch_add(&s->next, 1)) < s->n;) {
        clm_err err = CLM_ERR_NONE;
        fetch f;
        set_fetch(s, k, &f);
        ask_ahead(s, k + 1);
        if (s->r->a->cache ? each_cached(s->r, &f, &err) : each_direct(s->r, &f, &err)) continue;
        (void)pthread_mutex_lock(&s->lock);
        if (k < s->worst) {
            s->worst = k;
            s->err = err;
        }
        (void)pthread_mutex_unlock(&s->lock);
        atomic_store(&s->next, s->n); /* all before k are taken already */
    }
    return NULL;
}

static void run_threads(sharing *s, int threads) {
    pthread_t id[THREADS_MOST];
    int started = 0;
    if (threads > s->n) threads = (int)s->n;
    if (threads > THREADS_MOST) threads = THREADS_MOST;
    while (started < threads - 1 &&
           pthread_create(&id[started], NULL, take_chunks, s) == 0) /* allow: readers of one box */
        started++;                                                  /* fewer than asked for do as well */
    (void)take_chunks(s);
    for (int i = 0; i < started; i++) (void)pthread_join(id[i], NULL);
}

bool clm_array_each(const clm_array *a, const int64_t lo[], const int64_t hi[], clm_piece_fn fn,
                    clm_place_fn place, void *ctx, int threads, clm_err *err) {
    const clm_array_info *info = &a->info;
    const request r = {.a = a, .lo = lo, .hi = hi, .fn = fn, .place = place, .ctx = ctx};
    sharing s = {.r = &r, .n = 1};
    for (int d = 0; d < info->ndim; d++) {
        if (lo[d] < 0 || hi[d] > info->shape[d] || lo[d] > hi[d])
            return clm_fail(err, CLM_E_ARG, "%s: box [%s, %s) outside the shape %s", a->path,
                            clm_index_say(info->ndim, lo).s, clm_index_say(info->ndim, hi).s,
                            clm_index_say(info->ndim, info->shape).s);
        if (lo[d] == hi[d]) return true;
        s.first[d] = lo[d] / info->inner[d];
        s.extent[d] = (hi[d] - 1) / info->inner[d] + 1 - s.first[d];
        s.n *= s.extent[d];
    }
    s.worst = s.n;
    (void)pthread_mutex_init(&s.lock, NULL);
    run_threads(&s, threads);
    (void)pthread_mutex_destroy(&s.lock);
    if (s.worst < s.n) *err = s.err;
    return s.worst == s.n;
}

/* ---- into packed memory ---- */

typedef struct packed {
    unsigned char *dst;
    const int64_t *lo;
    int64_t stride[CLM_DIMS_MAX], extent[CLM_DIMS_MAX];
    const clm_array *a;
} packed;

static unsigned char *at_lo(const packed *k, const int64_t lo[]) {
    int64_t offset = 0;
    for (int d = 0; d < k->a->info.ndim; d++) offset += (lo[d] - k->lo[d]) * k->stride[d];
    return k->dst + offset * (int64_t)k->a->size;
}

/* A box is packed inside the destination when all axes behind its first partial one are whole. */
static void *place_packed(void *ctx, const int64_t lo[], const int64_t hi[]) {
    const packed *k = ctx;
    int d = 0, ndim = k->a->info.ndim;
    while (d < ndim && hi[d] - lo[d] == 1) d++;
    for (d++; d < ndim; d++)
        if (hi[d] - lo[d] != k->extent[d]) return NULL;
    return at_lo(k, lo);
}

static bool copy_packed(void *ctx, const clm_array *a, const clm_piece *p, clm_err *err) {
    (void)err;
    const packed *k = ctx;
    unsigned char *to = at_lo(k, p->lo);
    int64_t extent[CLM_DIMS_MAX], n = 1;
    for (int d = 0; d < a->info.ndim; d++) n *= extent[d] = p->hi[d] - p->lo[d];
    if (!p->data)
        clm_fill_block(a->info.ndim, extent, to, k->stride, a->info.fill, a->size);
    else if (p->data != to)
        clm_copy_block(a->info.ndim, extent, p->data, p->stride, to, k->stride, a->size, a->unit, p->swap);
    else if (p->swap) /* decoded in place: n elements run on */
        clm_swap_bytes(to, a->unit, n * (int64_t)(a->size / a->unit));
    return true;
}

bool clm_array_read_by(const clm_array *a, const int64_t lo[], const int64_t hi[], void *dst, int threads,
                       clm_err *err) {
    packed k = {.dst = dst, .lo = lo, .a = a};
    for (int d = 0; d < a->info.ndim; d++) k.extent[d] = hi[d] - lo[d];
    (void)clm_strides(a->info.ndim, k.extent, k.stride);
    return clm_array_each(a, lo, hi, copy_packed, place_packed, &k, threads, err);
}

bool clm_array_read(const clm_array *a, const int64_t lo[], const int64_t hi[], void *dst, clm_err *err) {
    return clm_array_read_by(a, lo, hi, dst, 1, err);
}
