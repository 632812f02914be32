#include "collimate/app/picture.h"
#include "collimate/base/file.h"

#include <png.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIDE_MAX 65500 /* what viewers take */

bool clm_picture_new(int64_t width, int64_t height, clm_colour ground, clm_picture *out, clm_err *err) {
    if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX)
        return clm_fail(err, CLM_E_ARG, "a picture of %lld x %lld pixels; a side must be 1 to %d",
                        (long long)width, (long long)height, SIDE_MAX);
    clm_picture p = {width, height, clm_heap_new((size_t)(width * height), 3, err)};
    if (!p.rgb) return false;
    clm_picture_fill(&p, 0, 0, width, height, ground);
    *out = p;
    return true;
}

void clm_picture_free(clm_picture *p) {
    clm_heap_free(p->rgb);
    *p = (clm_picture){0};
}

void clm_picture_put(clm_picture *p, int64_t x, int64_t y, clm_colour c) {
    if (x < 0 || y < 0 || x >= p->width || y >= p->height) return;
    unsigned char *to = p->rgb + 3 * (y * p->width + x);
    to[0] = c.r, to[1] = c.g, to[2] = c.b;
}

void clm_picture_fill(clm_picture *p, int64_t x, int64_t y, int64_t width, int64_t height, clm_colour c) {
    for (int64_t j = y < 0 ? 0 : y; j < y + height && j < p->height; j++)
        for (int64_t i = x < 0 ? 0 : x; i < x + width && i < p->width; i++) clm_picture_put(p, i, j, c);
}

void clm_picture_text(clm_picture *p, int64_t x, int64_t y, int size, clm_colour c, const char *text) {
    for (; *text; text++, x += 6 * size) {
        const unsigned char *glyph = clm_font_glyph(*text);
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 8; j++)
                if (glyph[i] >> j & 1) clm_picture_fill(p, x + i * size, y + j * size, size, size, c);
    }
}

int64_t clm_picture_text_width(int size, const char *text) {
    int64_t n = (int64_t)strlen(text);
    return n ? (6 * n - 1) * size : 0;
}

void clm_picture_scale_bar(clm_picture *p, int64_t right, int64_t bottom, int64_t most, double um_per_pixel,
                           int size, clm_colour c) {
    double longest = (double)most * um_per_pixel, um = pow(10.0, floor(log10(longest)));
    if (5.0 * um <= longest)
        um *= 5.0;
    else if (2.0 * um <= longest)
        um *= 2.0;
    char text[40];
    (void)snprintf(text, sizeof text, "%g um", um);
    int64_t width = (int64_t)llround(um / um_per_pixel), thick = 2 * size;
    clm_picture_fill(p, right - width, bottom - thick, width, thick, c);
    int64_t middle = right - width / 2 - clm_picture_text_width(size, text) / 2;
    int64_t last = right - clm_picture_text_width(size, text);
    clm_picture_text(p, middle < last ? middle : last, bottom - thick - 9 * size, size, c, text);
}

/* ---- PNG ---- */

typedef struct png_sink {
    clm_buf bytes;
    clm_err *err;
    bool failed;
} png_sink;

static void png_write(png_structp png, png_bytep data, size_t n) {
    png_sink *s = png_get_io_ptr(png);
    if (!clm_buf_reserve(&s->bytes, s->bytes.n + n, s->err)) {
        s->failed = true;
        png_error(png, "no memory");
    }
    memcpy(s->bytes.data + s->bytes.n, data, n);
    s->bytes.n += n;
}

static void png_flush_nothing(png_structp png) { (void)png; }

static void png_fails(png_structp png, png_const_charp why) {
    png_sink *s = png_get_error_ptr(png);
    if (!s->failed) (void)clm_fail(s->err, CLM_E_NOMEM, "PNG: %s", why);
    s->failed = true;
    png_longjmp(png, 1);
}

static void png_warns(png_structp png, png_const_charp why) { (void)png, (void)why; }

static bool encode(const clm_picture *p, png_sink *s) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, s, png_fails, png_warns);
    if (!png) return clm_fail(s->err, CLM_E_NOMEM, "PNG: no memory");
    png_infop info = png_create_info_struct(png);
    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return s->failed ? false : clm_fail(s->err, CLM_E_NOMEM, "PNG: no memory");
    }
    png_set_write_fn(png, s, png_write, png_flush_nothing);
    png_set_compression_level(png, 2); /* a picture is written more often than sent */
    png_set_IHDR(png, info, (png_uint_32)p->width, (png_uint_32)p->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < p->height; y++) png_write_row(png, p->rgb + 3 * y * p->width);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return true;
}

bool clm_picture_write_png(const clm_picture *p, const char *path, clm_err *err) {
    png_sink s = {.err = err};
    bool ok = encode(p, &s) && clm_file_publish(path, s.bytes.data, s.bytes.n, false, err);
    clm_buf_free(&s.bytes);
    return ok;
}
