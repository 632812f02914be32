#include "collimate/store/format.h"
#include "collimate/store/scale.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

/* TIFF stacks, a chunk a page: plain multi-page files, ImageJ's (also its one-page giants) and OME-TIFF with
 * all planes in one file. A TIFF handle is one thread's: a lock. */

#define PAGES_MOST 4000000

typedef struct tiff {
    TIFF *t;
    pthread_mutex_t lock;
    uint64_t *page; /* offset of each page's directory */
    int64_t pages;
    uint32_t width, height;
    size_t pixel; /* bytes of all samples of a pixel */
} tiff;

static pthread_once_t quiet_once = PTHREAD_ONCE_INIT;
static void be_quiet(void) {
    (void)TIFFSetErrorHandler(NULL);
    (void)TIFFSetWarningHandler(NULL);
}

static void close_self(void *self) {
    tiff *f = self;
    if (f->t) TIFFClose(f->t);
    (void)pthread_mutex_destroy(&f->lock);
    clm_heap_free(f->page);
    clm_heap_free(f);
}

/* ---- pages ---- */

static bool read_strips(const tiff *f, unsigned char *dst, clm_err *err) {
    size_t total = (size_t)f->height * f->width * f->pixel, at = 0;
    uint32_t n = TIFFNumberOfStrips(f->t);
    for (uint32_t i = 0; i < n && at < total; i++) {
        tmsize_t got = TIFFReadEncodedStrip(f->t, i, dst + at, (tmsize_t)(total - at));
        if (got <= 0)
            return clm_fail(err, CLM_E_FORMAT, "TIFF: strip %u is damaged or cut short", (unsigned)i);
        at += (size_t)got;
    }
    return at == total || clm_fail(err, CLM_E_FORMAT, "TIFF: %zu bytes of %zu in a page", at, total);
}

static bool read_tiles(const tiff *f, clm_scratch *s, unsigned char *dst, clm_err *err) {
    uint32_t tw = 0, th = 0;
    tmsize_t bytes = TIFFTileSize(f->t);
    if (!TIFFGetField(f->t, TIFFTAG_TILEWIDTH, &tw) || !TIFFGetField(f->t, TIFFTAG_TILELENGTH, &th) || !tw ||
        !th)
        return clm_fail(err, CLM_E_FORMAT, "TIFF: tile size");
    if (bytes <= 0 || (uint64_t)bytes != (uint64_t)tw * th * f->pixel || bytes > ((tmsize_t)1 << 31))
        return clm_fail(err, CLM_E_FORMAT, "TIFF: tiles of %lld bytes", (long long)bytes);
    if (!clm_buf_reserve(&s->work[1], (size_t)bytes, err)) return false;
    for (uint32_t y = 0; y < f->height; y += th)
        for (uint32_t x = 0; x < f->width; x += tw) {
            if (TIFFReadEncodedTile(f->t, TIFFComputeTile(f->t, x, y, 0, 0), s->work[1].data, bytes) != bytes)
                return clm_fail(err, CLM_E_FORMAT, "TIFF: tile at %u,%u is damaged or cut short", (unsigned)y,
                                (unsigned)x);
            uint32_t w = f->width - x < tw ? f->width - x : tw, h = f->height - y < th ? f->height - y : th;
            for (uint32_t r = 0; r < h; r++)
                memcpy(dst + ((size_t)(y + r) * f->width + x) * f->pixel,
                       s->work[1].data + (size_t)r * tw * f->pixel, w * f->pixel);
        }
    return true;
}

static bool load(const clm_array *a, const int64_t index[], clm_scratch *s, const clm_want *w, clm_chunk *out,
                 clm_err *err) {
    tiff *f = a->self;
    size_t bytes = (size_t)f->height * f->width * f->pixel;
    int64_t page = 0;
    (void)clm_chunk_clip(&a->info, a->info.inner, index, out->extent);
    (void)clm_strides(a->info.ndim, out->extent, out->stride);
    for (int d = 0; d < a->info.ndim && a->info.inner[d] == 1; d++) page = page * a->info.shape[d] + index[d];
    void *into = w->into;
    if (!into || w->into_bytes != bytes) {
        if (!clm_buf_reserve(&s->file, bytes, err)) return false;
        into = s->file.data;
    }
    out->data = into;
    (void)pthread_mutex_lock(&f->lock);
    bool ok = page < f->pages && TIFFSetSubDirectory(f->t, f->page[page]);
    if (!ok)
        ok = clm_fail(err, CLM_E_FORMAT, "TIFF: page %lld cannot be read", (long long)page);
    else
        ok = TIFFIsTiled(f->t) ? read_tiles(f, s, into, err) : read_strips(f, into, err);
    (void)pthread_mutex_unlock(&f->lock);
    return ok;
}

static const clm_array_ops ops = {.load = load, .close = close_self};

/* ---- what a page is ---- */

typedef struct page_kind {
    uint32_t width, height;
    uint16_t bits, format, samples, planar;
} page_kind;

static page_kind kind_of(TIFF *t) {
    page_kind k = {.planar = PLANARCONFIG_CONTIG};
    (void)TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &k.width);
    (void)TIFFGetField(t, TIFFTAG_IMAGELENGTH, &k.height);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &k.bits);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &k.format);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &k.samples);
    (void)TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &k.planar);
    return k;
}

static bool type_of(const page_kind *k, clm_dtype *out) {
    static const clm_dtype whole[] = {CLM_U8, CLM_U16, CLM_U32, CLM_U64},
                           with_sign[] = {CLM_I8, CLM_I16, CLM_I32, CLM_I64};
    int i = k->bits == 8 ? 0 : k->bits == 16 ? 1 : k->bits == 32 ? 2 : k->bits == 64 ? 3 : -1;
    if (i < 0) return false;
    if (k->format == SAMPLEFORMAT_IEEEFP) {
        *out = k->bits == 32 ? CLM_F32 : k->bits == 64 ? CLM_F64 : CLM_F16;
        return k->bits > 8;
    }
    if (k->format != SAMPLEFORMAT_UINT && k->format != SAMPLEFORMAT_INT && k->format != SAMPLEFORMAT_VOID)
        return false;
    *out = k->format == SAMPLEFORMAT_INT ? with_sign[i] : whole[i];
    return true;
}

static bool list_pages(tiff *f, const page_kind *first, clm_err *err) {
    int64_t cap = 0;
    bool more = true;
    do {
        page_kind k = kind_of(f->t);
        /* thumbnails and other sizes are not of the stack */
        if (k.width != first->width || k.height != first->height || k.bits != first->bits ||
            k.samples != first->samples)
            continue;
        if (f->pages == cap) {
            void *p = f->page;
            cap = cap * 2 + 64;
            if (cap > PAGES_MOST) return clm_fail(err, CLM_E_FORMAT, "TIFF: too many pages (a loop?)");
            if (!clm_heap_grow(&p, (size_t)cap, sizeof *f->page, err)) return false;
            f->page = p;
        }
        f->page[f->pages++] = TIFFCurrentDirOffset(f->t);
    } while (!TIFFLastDirectory(f->t) && (more = TIFFReadDirectory(f->t) != 0));
    return more || clm_fail(err, CLM_E_FORMAT, "TIFF: the page after %lld cannot be read: cut short?",
                            (long long)f->pages);
}

/* ---- what the description says ---- */

typedef struct stack {
    int64_t z, c, t;
    char order[3]; /* fastest first, of 'z' 'c' 't' */
    double spacing[3];
    bool known;
    char unit[24], dialect[40];
    int64_t images; /* ImageJ: planes that follow the only directory */
} stack;

/* The number or text after key in "key=value\n" lines. */
static bool line_value(const char *text, const char *key, char out[64]) {
    size_t n = strlen(key);
    for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        if (strncmp(p, key, n) != 0 || p[n] != '=') continue;
        (void)snprintf(out, 64, "%.*s", (int)strcspn(p + n + 1, "\r\n"), p + n + 1);
        return true;
    }
    return false;
}

/* The value of an attribute of the first <Pixels ...> element. */
static bool attribute(const char *pixels, const char *key, char out[64]) {
    const char *end = strchr(pixels, '>');
    char name[48];
    (void)snprintf(name, sizeof name, " %s=\"", key);
    const char *at = strstr(pixels, name);
    if (!at || (end && at > end)) return false;
    at += strlen(name);
    (void)snprintf(out, 64, "%.*s", (int)strcspn(at, "\""), at);
    return true;
}

static void imagej(stack *s, const char *text, TIFF *t) {
    char v[64];
    int64_t x;
    float rx = 0, ry = 0;
    double um = 1;
    if (line_value(text, "slices", v) && clm_text_int(v, &x)) s->z = x;
    if (line_value(text, "channels", v) && clm_text_int(v, &x)) s->c = x;
    if (line_value(text, "frames", v) && clm_text_int(v, &x)) s->t = x;
    if (line_value(text, "images", v) && clm_text_int(v, &x)) s->images = x;
    memcpy(s->order, "czt", 3);
    (void)snprintf(s->dialect, sizeof s->dialect, "ImageJ");
    if (line_value(text, "unit", v)) (void)snprintf(s->unit, sizeof s->unit, "%.23s", v);
    bool length = clm_unit_um(strcmp(s->unit, "\\u00B5m") == 0 ? "um" : s->unit, &um);
    bool planes = TIFFGetField(t, TIFFTAG_XRESOLUTION, &rx) && TIFFGetField(t, TIFFTAG_YRESOLUTION, &ry) &&
                  rx > 0 && ry > 0;
    double z = 0;
    if (!line_value(text, "spacing", v) || !clm_text_real(v, &z) || !length || !planes) return;
    s->known = z != 0;
    s->spacing[0] = fabs(z) * um;
    s->spacing[1] = um / (double)ry;
    s->spacing[2] = um / (double)rx;
}

static void ome_xml(stack *s, const char *pixels) {
    static const char *const size[] = {"PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"};
    char v[64], key[32];
    int64_t x;
    if (attribute(pixels, "SizeZ", v) && clm_text_int(v, &x)) s->z = x;
    if (attribute(pixels, "SizeC", v) && clm_text_int(v, &x)) s->c = x;
    if (attribute(pixels, "SizeT", v) && clm_text_int(v, &x)) s->t = x;
    memcpy(s->order, "zct", 3);
    if (attribute(pixels, "DimensionOrder", v) && strlen(v) == 5)
        for (int i = 0; i < 3; i++) s->order[i] = (char)(v[i + 2] | 0x20);
    (void)snprintf(s->dialect, sizeof s->dialect, "OME-TIFF");
    (void)snprintf(s->unit, sizeof s->unit, "um");
    s->known = true;
    for (int d = 0; d < 3; d++) {
        double um = 1;
        s->known = s->known && attribute(pixels, size[d], v) && clm_text_real(v, &s->spacing[d]) &&
                   s->spacing[d] > 0;
        (void)snprintf(key, sizeof key, "%sUnit", size[d]);
        if (!attribute(pixels, key, v)) continue;
        (void)snprintf(s->unit, sizeof s->unit, "%.23s", v);
        s->known = s->known && clm_unit_um(v, &um);
        s->spacing[d] *= um;
    }
}

/* ---- opening ---- */

/* Dimensions from the pages' order, slow to fast, ones left out but for z. */
static void set_shape(clm_array_info *i, clm_place *p, const stack *s, const tiff *f, uint16_t samples) {
    p->channel_axis = p->time_axis = -1;
    for (int k = 2; k >= 0; k--) {
        int64_t n = s->order[k] == 'z' ? s->z : s->order[k] == 'c' ? s->c : s->t;
        if (s->order[k] == 'z')
            p->axis[0] = i->ndim;
        else if (n == 1)
            continue;
        else if (s->order[k] == 'c')
            p->channel_axis = i->ndim;
        else
            p->time_axis = i->ndim;
        i->chunk[i->ndim] = 1;
        i->shape[i->ndim++] = n;
    }
    for (int d = 1; d < 3; d++) {
        p->axis[d] = i->ndim;
        i->chunk[i->ndim] = i->shape[i->ndim] = d == 1 ? f->height : f->width;
        i->ndim++;
    }
    if (samples > 1) {
        p->channel_axis = i->ndim;
        i->chunk[i->ndim] = i->shape[i->ndim] = samples;
        i->ndim++;
    }
    memcpy(i->inner, i->chunk, sizeof i->inner);
    memcpy(p->spacing_um, s->spacing, sizeof p->spacing_um);
    memcpy(p->dialect, s->dialect, sizeof p->dialect);
    memcpy(p->unit, s->unit, sizeof p->unit);
    p->slope = 1;
    if (!s->known)
        (void)snprintf(p->problem, sizeof p->problem,
                       "no spacing in the TIFF; give it, z,y,x in micrometres");
}

static bool make_array(const char *file, tiff **f, const page_kind *k, stack *s, clm_array **out,
                       clm_err *err) {
    clm_array_info info = {.format = "tiff", .codec = "tiff"};
    clm_place place = {0};
    clm_buf none = {0};
    uint64_t *offset = NULL;
    if (!type_of(k, &info.dtype))
        return clm_fail(err, CLM_E_UNSUPPORTED, "TIFF: %u bits of sample format %u", k->bits, k->format);
    if (k->samples > 1 && k->planar != PLANARCONFIG_CONTIG)
        return clm_fail(err, CLM_E_UNSUPPORTED, "TIFF: samples in separate planes");
    if (!k->width || !k->height) return clm_fail(err, CLM_E_FORMAT, "TIFF: a page without pixels");
    (*f)->width = k->width;
    (*f)->height = k->height;
    (*f)->pixel = (size_t)k->bits / 8 * k->samples;
    uint16_t compression = 0;
    (void)TIFFSetSubDirectory((*f)->t, (*f)->page[0]);
    (void)TIFFGetFieldDefaulted((*f)->t, TIFFTAG_COMPRESSION, &compression);
    if (!TIFFIsCODECConfigured(compression))
        return clm_fail(err, CLM_E_UNSUPPORTED, "TIFF: compression %u is not known here", compression);
    /* ImageJ beyond 4 GiB: one directory, all planes behind its first strip */
    bool giant = (*f)->pages == 1 && s->images > 1 && compression == COMPRESSION_NONE;
    int64_t pages = giant ? s->images : (*f)->pages, n;
    int64_t counts[3] = {s->z, s->c, s->t};
    for (int i = 0; i < 3; i++)
        if (counts[i] < 1) return clm_fail(err, CLM_E_FORMAT, "TIFF: sizes in the description");
    if (!clm_product(3, counts, PAGES_MOST, &n, err)) return false;
    if (n > pages)
        return clm_fail(err, CLM_E_FORMAT, "TIFF: the description says %lld planes, the file holds %lld",
                        (long long)n, (long long)pages);
    if (n < pages) { /* edited since: take the pages as they come */
        s->z = pages;
        s->c = s->t = 1;
    }
    set_shape(&info, &place, s, *f, k->samples);
    bool ok;
    if (giant) {
        ok = TIFFGetField((*f)->t, TIFFTAG_STRIPOFFSETS, &offset) && offset;
        if (!ok) return clm_fail(err, CLM_E_FORMAT, "TIFF: ImageJ stack without strip offsets");
        ok = clm_flat_open(file, &info, TIFFIsByteSwapped((*f)->t) != 0, (int64_t)offset[0], &none, out, err);
    } else {
        ok = clm_array_new(file, &info, &ops, *f, out, err);
        if (ok) *f = NULL; /* the array's now */
    }
    if (!ok) return false;
    (*out)->place = clm_heap_new(1, sizeof place, err);
    if ((*out)->place)
        *(*out)->place = place;
    else
        clm_array_close(*out);
    return (*out)->place != NULL;
}

bool clm_tiff_open(const char *file, clm_array **out, clm_err *err) {
    (void)pthread_once(&quiet_once, be_quiet);
    tiff *f = clm_heap_new(1, sizeof *f, err);
    if (!f) return false;
    (void)pthread_mutex_init(&f->lock, NULL);
    f->t = TIFFOpen(file, "rm"); /* m: no memory map, a shortened file must not kill us */
    bool ok = f->t != NULL || clm_fail(err, CLM_E_FORMAT, "TIFF: not readable");
    stack s = {.z = 1, .c = 1, .t = 1, .order = {'z', 'c', 't'}, .dialect = "TIFF"};
    page_kind k = {0};
    char *text = NULL;
    if (ok) {
        k = kind_of(f->t);
        const char *pixels = NULL;
        if (TIFFGetField(f->t, TIFFTAG_IMAGEDESCRIPTION, &text) && text) pixels = strstr(text, "<Pixels ");
        if (pixels)
            ome_xml(&s, pixels);
        else if (text && strncmp(text, "ImageJ=", 7) == 0)
            imagej(&s, text, f->t);
        ok = list_pages(f, &k, err);
    }
    if (ok && s.z == 1 && s.c == 1 && s.t == 1 && s.images <= 1) s.z = f->pages;
    ok = ok && make_array(file, &f, &k, &s, out, err);
    if (f) close_self(f);
    return ok;
}
