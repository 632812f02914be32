#include "collimate/app/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

bool clm_plane_window(const clm_plane *plane, double low, double high, clm_window *out, clm_err *err) {
    int64_t all = plane->rows * plane->columns, n = 0;
    float *v = clm_heap_new((size_t)all + 1, sizeof *v, err);
    if (!v) return false;
    for (int64_t i = 0; i < all; i++)
        if (isfinite(plane->data[i])) v[n++] = plane->data[i];
    qsort(v, (size_t)n, sizeof *v, by_value);
    clm_window w = {0.0, 1.0};
    if (n > 0) {
        w.lo = v[(int64_t)floor(low * (double)(n - 1))];
        w.hi = v[(int64_t)ceil(high * (double)(n - 1))];
    }
    if (!(w.hi > w.lo)) w.hi = w.lo + 1.0;
    clm_heap_free(v);
    *out = w;
    return true;
}

/* colours at equal steps, mixed between */
clm_colour clm_palette_at(clm_palette palette, double t) {
    static const clm_colour grey[] = {{0, 0, 0}, {255, 255, 255}};
    static const clm_colour heat[] = {{0, 0, 4},      {51, 10, 94},   {120, 28, 109}, {188, 55, 84},
                                      {237, 105, 37}, {251, 180, 26}, {252, 255, 164}};
    static const clm_colour diverging[] = {
        {33, 60, 160}, {120, 165, 215}, {247, 247, 247}, {230, 140, 110}, {165, 15, 35}};
    static const struct {
        const clm_colour *c;
        int n;
    } tables[] = {{grey, 2}, {heat, 7}, {diverging, 5}};
    if (isnan(t)) return CLM_BLACK;
    const clm_colour *c = tables[palette].c;
    int last = tables[palette].n - 1;
    double at = fmin(fmax(t, 0.0), 1.0) * last;
    int i = (int)at < last ? (int)at : last - 1;
    double f = at - i;
    return (clm_colour){(unsigned char)lround(c[i].r + f * (c[i + 1].r - c[i].r)),
                        (unsigned char)lround(c[i].g + f * (c[i + 1].g - c[i].g)),
                        (unsigned char)lround(c[i].b + f * (c[i + 1].b - c[i].b))};
}

void clm_plane_size(const clm_plane *plane, double um_per_pixel, int64_t *width, int64_t *height) {
    double h = (double)plane->rows * plane->spacing[0], w = (double)plane->columns * plane->spacing[1];
    *height = (int64_t)fmax(1.0, rint(h / um_per_pixel));
    *width = (int64_t)fmax(1.0, rint(w / um_per_pixel));
}

static double value_at(const clm_plane *p, int64_t row, int64_t column) {
    row = row < 0 ? 0 : row >= p->rows ? p->rows - 1 : row;
    column = column < 0 ? 0 : column >= p->columns ? p->columns - 1 : column;
    return (double)p->data[row * p->columns + column];
}

/* at fractional row and column, where whole numbers are the middles of values */
static double sample(const clm_plane *p, clm_zoom zoom, double row, double column) {
    if (zoom == CLM_ZOOM_NEAREST) return value_at(p, (int64_t)floor(row + 0.5), (int64_t)floor(column + 0.5));
    double r = floor(row), c = floor(column), tr = row - r, tc = column - c;
    int64_t i = (int64_t)r, j = (int64_t)c;
    double upper = value_at(p, i, j) * (1.0 - tc) + value_at(p, i, j + 1) * tc;
    double lower = value_at(p, i + 1, j) * (1.0 - tc) + value_at(p, i + 1, j + 1) * tc;
    return upper * (1.0 - tr) + lower * tr;
}

/* One pixel: of a shrunk plane the mean of enough samples to meet every value under it. */
static double pixel(const clm_plane *p, clm_zoom zoom, double um_per_pixel, int64_t x, int64_t y) {
    double row_step = um_per_pixel / p->spacing[0], column_step = um_per_pixel / p->spacing[1];
    int nr = row_step > 1.0 ? (int)ceil(row_step) : 1, nc = column_step > 1.0 ? (int)ceil(column_step) : 1;
    double sum = 0.0;
    for (int i = 0; i < nr; i++)
        for (int j = 0; j < nc; j++) {
            double row = ((double)y + ((double)i + 0.5) / nr) * row_step - 0.5;
            double column = ((double)x + ((double)j + 0.5) / nc) * column_step - 0.5;
            sum += sample(p, zoom, row, column);
        }
    return sum / (nr * nc);
}

static double in_window(clm_window w, double v) {
    return isnan(v) ? 0.0 : fmin(fmax((v - w.lo) / (w.hi - w.lo), 0.0), 1.0);
}

void clm_picture_overlay(clm_picture *p, int64_t x, int64_t y, double um_per_pixel, clm_zoom zoom,
                         const clm_plane *fixed, clm_window fixed_window, const clm_plane *moving,
                         clm_window moving_window) {
    int64_t width, height;
    clm_plane_size(fixed, um_per_pixel, &width, &height);
    for (int64_t j = 0; j < height; j++)
        for (int64_t i = 0; i < width; i++) {
            double f = in_window(fixed_window, pixel(fixed, zoom, um_per_pixel, i, j));
            double m = in_window(moving_window, pixel(moving, zoom, um_per_pixel, i, j));
            unsigned char red = (unsigned char)lround(255.0 * f);
            clm_picture_put(p, x + i, y + j, (clm_colour){red, (unsigned char)lround(255.0 * m), red});
        }
}

void clm_picture_map(clm_picture *p, int64_t x, int64_t y, double um_per_pixel, clm_zoom zoom,
                     const clm_plane *plane, clm_window window, clm_palette palette) {
    const clm_colour nothing = {88, 92, 96};
    int64_t width, height;
    clm_plane_size(plane, um_per_pixel, &width, &height);
    for (int64_t j = 0; j < height; j++)
        for (int64_t i = 0; i < width; i++) {
            double v = pixel(plane, zoom, um_per_pixel, i, j);
            clm_colour c = isnan(v) ? nothing : clm_palette_at(palette, in_window(window, v));
            clm_picture_put(p, x + i, y + j, c);
        }
}

void clm_picture_legend(clm_picture *p, int64_t x, int64_t y, int64_t height, clm_window window,
                        clm_palette palette, int size, clm_colour c) {
    char text[40];
    for (int64_t j = 0; j < height; j++) {
        double t = height > 1 ? 1.0 - (double)j / (double)(height - 1) : 1.0;
        clm_picture_fill(p, x, y + j, 8 * size, 1, clm_palette_at(palette, t));
    }
    (void)snprintf(text, sizeof text, "%.3g", window.hi);
    clm_picture_text(p, x + 10 * size, y, size, c, text);
    (void)snprintf(text, sizeof text, "%.3g", window.lo);
    clm_picture_text(p, x + 10 * size, y + height - 7 * size, size, c, text);
}
