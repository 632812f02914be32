#include "collimate/codec/codec_family.h"

#include <pthread.h>
#include <zstd.h>

typedef struct zstd_state {
    ZSTD_DCtx *d;
    ZSTD_CCtx *c;
} zstd_state;

static pthread_key_t state_key;
static pthread_once_t state_once = PTHREAD_ONCE_INIT;

static void drop_state(void *p) {
    zstd_state *s = p;
    (void)ZSTD_freeDCtx(s->d);
    (void)ZSTD_freeCCtx(s->c);
    clm_heap_free(s);
}

static void make_key(void) { (void)pthread_key_create(&state_key, drop_state); }

static zstd_state *mine(clm_err *err) {
    (void)pthread_once(&state_once, make_key);
    zstd_state *s = pthread_getspecific(state_key);
    if (s) return s;
    s = clm_heap_new(1, sizeof *s, err);
    if (!s) return NULL;
    s->d = ZSTD_createDCtx();
    s->c = ZSTD_createCCtx();
    if (!s->d || !s->c || pthread_setspecific(state_key, s) != 0) {
        drop_state(s);
        clm_fail(err, CLM_E_NOMEM, "no memory for zstd");
        return NULL;
    }
    return s;
}

bool clm_zstd_declares(const unsigned char *src, size_t n, uint64_t *bytes) {
    unsigned long long size = ZSTD_getFrameContentSize(src, n);
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) return false;
    *bytes = size;
    return true;
}

bool clm_zstd_decode(const clm_codec *c, const unsigned char *src, size_t n, unsigned char *dst, size_t cap,
                     size_t *made, clm_err *err) {
    (void)c;
    zstd_state *s = mine(err);
    if (!s) return false;
    if (n == 0) return clm_fail(err, CLM_E_FORMAT, "zstd: no bytes"); /* the library takes it for no frames */
    size_t r = ZSTD_decompressDCtx(s->d, dst, cap, src, n);
    if (ZSTD_isError(r)) return clm_fail(err, CLM_E_FORMAT, "zstd: %s", ZSTD_getErrorName(r));
    *made = r;
    return true;
}

bool clm_zstd_encode(const clm_codec *c, const unsigned char *src, size_t n, clm_buf *out, clm_err *err) {
    zstd_state *s = mine(err);
    if (!s) return false;
    size_t bound = ZSTD_compressBound(n);
    if (!clm_buf_reserve(out, bound, err)) return false;
    (void)ZSTD_CCtx_reset(s->c, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(s->c, ZSTD_c_compressionLevel, c->level);
    (void)ZSTD_CCtx_setParameter(s->c, ZSTD_c_checksumFlag, c->zstd_checksum ? 1 : 0);
    size_t r = ZSTD_compress2(s->c, out->data, bound, src, n); /* one shot: the content size is recorded */
    if (ZSTD_isError(r)) return clm_fail(err, CLM_E_NOMEM, "zstd: %s", ZSTD_getErrorName(r));
    out->n = r;
    return true;
}
