#include "collimate/app/picture.h"

#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/file.h"
#include "collimate/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static uint32_t big32(const unsigned char *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Decode an 8-bit RGB PNG (PNG 1.2, sections 5, 6, 9) without libpng, so that the writer is not judged by
 * its own library. Returns pixels to free with clm_heap_free. */
static unsigned char *decode(const clm_buf *file, int64_t *width, int64_t *height) {
    static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    clm_err err;
    clm_buf z = {0};
    assert_true(file->n > 57);
    assert_memory_equal(file->data, magic, 8);
    *width = *height = 0;
    bool ended = false;
    for (size_t at = 8; at + 12 <= file->n;) {
        const unsigned char *chunk = file->data + at;
        uint32_t n = big32(chunk);
        assert_true(at + 12 + n <= file->n);
        assert_int_equal(crc32(0, chunk + 4, n + 4), big32(chunk + 8 + n));
        if (memcmp(chunk + 4, "IHDR", 4) == 0) {
            *width = big32(chunk + 8), *height = big32(chunk + 12);
            assert_int_equal(chunk[16], 8); /* bits */
            assert_int_equal(chunk[17], 2); /* RGB  */
            assert_int_equal(chunk[20], 0); /* not interlaced */
        } else if (memcmp(chunk + 4, "IDAT", 4) == 0) {
            assert_ok(clm_buf_reserve(&z, z.n + n, &err), err);
            memcpy(z.data + z.n, chunk + 8, n);
            z.n += n;
        }
        ended = memcmp(chunk + 4, "IEND", 4) == 0;
        at += 12 + n;
    }
    assert_true(ended);
    size_t row = 3 * (size_t)*width, h = (size_t)*height;
    unsigned char *raw = clm_heap_new(h * (row + 1), 1, &err), *rgb = clm_heap_new(h * row, 1, &err);
    uLongf raw_n = h * (row + 1);
    assert_int_equal(uncompress(raw, &raw_n, z.data, z.n), Z_OK);
    assert_int_equal(raw_n, h * (row + 1));
    for (size_t y = 0; y < h; y++) {
        const unsigned char *in = raw + y * (row + 1), kind = in[0];
        unsigned char *out = rgb + y * row;
        for (size_t i = 0; i < row; i++) {
            int left = i >= 3 ? out[i - 3] : 0, up = y ? out[i - row] : 0,
                corner = y && i >= 3 ? out[i - row - 3] : 0;
            int p = left + up - corner, a = abs(p - left), b = abs(p - up), c = abs(p - corner);
            int paeth = a <= b && a <= c ? left : b <= c ? up : corner;
            int guess[5] = {0, left, up, (left + up) / 2, paeth};
            assert_true(kind < 5);
            out[i] = (unsigned char)(in[1 + i] + guess[kind]);
        }
    }
    clm_heap_free(raw);
    clm_buf_free(&z);
    return rgb;
}

static void png_round_trip(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {3, 2}, {97, 41}, {300, 500}};
    char folder[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_err err;
    clm_test_folder(folder);
    assert_ok(clm_path_join(path, folder, "new/folder/a.png", &err), err);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        clm_picture p;
        assert_ok(clm_picture_new(sizes[s][0], sizes[s][1], CLM_BLACK, &p, &err), err);
        int64_t n = 3 * p.width * p.height;
        for (int64_t i = 0; i < n; i++)
            p.rgb[i] = (unsigned char)(i % 7 ? clm_rng_bits(1, s, (uint64_t)i) : (uint64_t)i / 50);
        assert_ok(clm_picture_write_png(&p, path, &err), err);
        clm_buf file = {0};
        assert_ok(clm_file_read(path, (size_t)1 << 24, &file, &err), err);
        int64_t width, height;
        unsigned char *rgb = decode(&file, &width, &height);
        assert_int_equal(width, p.width);
        assert_int_equal(height, p.height);
        assert_memory_equal(rgb, p.rgb, (size_t)n);
        clm_heap_free(rgb);
        clm_buf_free(&file);
        clm_picture_free(&p);
    }
    clm_test_folder_drop(folder);
}

static void refusals(void **state) {
    (void)state;
    clm_picture p;
    clm_err err;
    assert_fails(CLM_E_ARG, clm_picture_new(0, 5, CLM_BLACK, &p, &err), err);
    assert_fails(CLM_E_ARG, clm_picture_new(5, 65501, CLM_BLACK, &p, &err), err);
    assert_ok(clm_picture_new(2, 2, CLM_WHITE, &p, &err), err);
    assert_fails(CLM_E_WRITE, clm_picture_write_png(&p, "/proc/none/a.png", &err), err);
    clm_picture_free(&p);
}

static clm_colour at(const clm_picture *p, int64_t x, int64_t y) {
    const unsigned char *c = p->rgb + 3 * (y * p->width + x);
    return (clm_colour){c[0], c[1], c[2]};
}

static int64_t lit(const clm_picture *p, int64_t x0, int64_t y0, int64_t x1, int64_t y1) {
    int64_t n = 0;
    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++) n += at(p, x, y).r == 255;
    return n;
}

static void text_and_clipping(void **state) {
    (void)state;
    clm_picture p;
    clm_err err;
    assert_ok(clm_picture_new(40, 20, CLM_BLACK, &p, &err), err);
    clm_picture_text(&p, 1, 2, 1, CLM_WHITE, "I");
    /* serifs at top and bottom, a stem of seven */
    assert_int_equal(lit(&p, 0, 0, 40, 20), 7 + 4);
    assert_int_equal(at(&p, 3, 2).g, 255);
    assert_int_equal(at(&p, 3, 8).g, 255);
    clm_picture_fill(&p, 0, 0, 40, 20, CLM_BLACK);
    clm_picture_text(&p, 0, 0, 2, CLM_WHITE, "I");
    assert_int_equal(lit(&p, 0, 0, 40, 20), 4 * (7 + 4));
    assert_int_equal(clm_picture_text_width(2, "abc"), 34);
    /* every printable character is drawn and no two look alike; others are question marks */
    for (char c = '!'; c <= '~'; c++)
        for (char d = ' '; d < c; d++) assert_memory_not_equal(clm_font_glyph(c), clm_font_glyph(d), 5);
    assert_ptr_equal(clm_font_glyph('\n'), clm_font_glyph('?'));
    assert_ptr_equal(clm_font_glyph((char)0xb5), clm_font_glyph('?'));
    clm_picture_text(&p, -9, -3, 3, CLM_WHITE, "clipped on all sides of the picture");
    clm_picture_fill(&p, 35, 15, 100, 100, CLM_WHITE);
    assert_int_equal(at(&p, 39, 19).b, 255);
    clm_picture_free(&p);
}

static void scale_bar_is_round_and_true(void **state) {
    (void)state;
    static const struct {
        double um_per_pixel;
        int64_t most, want;
    } cases[] = {{1.0, 100, 100}, {1.0, 99, 50}, {0.5, 90, 40},
                 {0.8, 120, 63},  {3.0, 60, 33}, {0.01, 70, 50}};
    clm_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clm_picture p;
        assert_ok(clm_picture_new(200, 60, CLM_BLACK, &p, &err), err);
        clm_picture_scale_bar(&p, 190, 50, cases[i].most, cases[i].um_per_pixel, 1, CLM_WHITE);
        assert_int_equal(lit(&p, 0, 49, 200, 50), cases[i].want);
        assert_int_equal(at(&p, 189, 49).r, 255);
        assert_int_equal(at(&p, 190, 49).r, 0);
        assert_true(lit(&p, 0, 30, 190, 48) > 10); /* its label */
        clm_picture_free(&p);
    }
}

static void overlay_shows_magenta_green_and_white(void **state) {
    (void)state;
    const float fixed[4] = {0, 10, 10, NAN}, moving[4] = {5, 0, 5, 5};
    clm_plane f = {fixed, 2, 2, {2.0, 1.0}}, m = {moving, 2, 2, {2.0, 1.0}};
    clm_picture p;
    clm_err err;
    assert_ok(clm_picture_new(20, 20, CLM_WHITE, &p, &err), err);
    int64_t width, height;
    clm_plane_size(&f, 0.5, &width, &height);
    assert_int_equal(width, 4); /* rows are twice as tall as columns are wide */
    assert_int_equal(height, 8);
    clm_picture_overlay(&p, 3, 5, 0.5, CLM_ZOOM_NEAREST, &f, (clm_window){0, 10}, &m, (clm_window){0, 5});
    assert_int_equal(at(&p, 3, 5).r, 0); /* upper left: moving only */
    assert_int_equal(at(&p, 3, 5).g, 255);
    assert_int_equal(at(&p, 3, 5).b, 0);
    assert_int_equal(at(&p, 6, 8).r, 255); /* upper right: fixed only */
    assert_int_equal(at(&p, 6, 8).g, 0);
    assert_int_equal(at(&p, 6, 8).b, 255);
    assert_int_equal(at(&p, 3, 9).g, 255); /* lower left: both */
    assert_int_equal(at(&p, 3, 9).r, 255);
    assert_int_equal(at(&p, 6, 12).r, 0);  /* NaN is black */
    assert_int_equal(at(&p, 7, 5).r, 255); /* nothing beyond */
    assert_int_equal(at(&p, 3, 13).r, 255);
    clm_picture_map(&p, 3, 5, 0.5, CLM_ZOOM_NEAREST, &f, (clm_window){0, 10}, CLM_PALETTE_HEAT);
    assert_int_equal(at(&p, 6, 12).g, 92); /* grey: no colour of the palette */
    assert_int_equal(at(&p, 3, 5).g, 0);
    assert_int_equal(at(&p, 6, 5).g, 255);
    clm_picture_free(&p);
}

/* a ramp stays a ramp when enlarged or shrunk */
static void zoom_keeps_a_ramp(void **state) {
    (void)state;
    enum { N = 64 };
    static float ramp[N * N];
    for (int i = 0; i < N * N; i++) ramp[i] = (float)(i % N) + 0.5f;
    clm_plane plane = {ramp, N, N, {1.0, 1.0}};
    static const double zooms[] = {0.25, 0.7, 1.0, 2.5, 8.0};
    clm_err err;
    for (size_t z = 0; z < sizeof zooms / sizeof *zooms; z++) {
        clm_picture p;
        int64_t width, height;
        clm_plane_size(&plane, zooms[z], &width, &height);
        assert_ok(clm_picture_new(width, height, CLM_BLACK, &p, &err), err);
        clm_picture_map(&p, 0, 0, zooms[z], CLM_ZOOM_LINEAR, &plane, (clm_window){0, N}, CLM_PALETTE_GREY);
        for (int64_t x = 0; x < width; x++) {
            double want = 255.0 * ((double)x + 0.5) * zooms[z] / N;
            if (want > 3.0 && want < 252.0) assert_near(at(&p, x, height / 2).g, want, 2.6);
        }
        clm_picture_free(&p);
    }
}

static void window_and_palettes(void **state) {
    (void)state;
    static float v[101];
    for (int i = 0; i <= 100; i++) v[i] = (float)(i * 37 % 101);
    v[0] = NAN; /* was 0 */
    clm_plane plane = {v, 1, 101, {1, 1}};
    clm_window w;
    clm_err err;
    assert_ok(clm_plane_window(&plane, 0.0, 1.0, &w, &err), err);
    assert_near(w.lo, 1.0, 0.0);
    assert_near(w.hi, 100.0, 0.0);
    assert_ok(clm_plane_window(&plane, 0.1, 0.9, &w, &err), err);
    assert_near(w.lo, 10.0, 1.0);
    assert_near(w.hi, 91.0, 1.0);
    plane.columns = 1;
    assert_ok(clm_plane_window(&plane, 0.1, 0.9, &w, &err), err);
    assert_true(w.hi > w.lo);
    assert_int_equal(clm_palette_at(CLM_PALETTE_DIVERGING, 0.5).g, 247);
    assert_int_equal(clm_palette_at(CLM_PALETTE_GREY, 7.0).g, 255);
    assert_int_equal(clm_palette_at(CLM_PALETTE_GREY, -7.0).g, 0);
    assert_int_equal(clm_palette_at(CLM_PALETTE_HEAT, NAN).r, 0);
    int before = -1; /* heat grows brighter all the way */
    for (int i = 0; i <= 20; i++) {
        clm_colour c = clm_palette_at(CLM_PALETTE_HEAT, i / 20.0);
        int light = 2 * c.r + 5 * c.g + c.b;
        assert_true(light > before);
        before = light;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_round_trip),
        cmocka_unit_test(refusals),
        cmocka_unit_test(text_and_clipping),
        cmocka_unit_test(scale_bar_is_round_and_true),
        cmocka_unit_test(overlay_shows_magenta_green_and_white),
        cmocka_unit_test(zoom_keeps_a_ramp),
        cmocka_unit_test(window_and_palettes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
