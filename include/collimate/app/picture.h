/* 8-bit RGB pictures for reports: slices of a fixed and a moving volume over each other, maps in
 * false colour, labels, scale bars, PNG. The only room of png.h (picture.c). */
#ifndef CLM_APP_PICTURE_H
#define CLM_APP_PICTURE_H

#include "collimate/base/heap.h"

typedef struct clm_colour {
    unsigned char r, g, b;
} clm_colour;
#define CLM_BLACK ((clm_colour){0, 0, 0})
#define CLM_WHITE ((clm_colour){255, 255, 255})

/** Rows from the top, 3 bytes a pixel, packed. Free with clm_picture_free. */
typedef struct clm_picture {
    int64_t width, height;
    unsigned char *rgb;
} clm_picture;

/** A picture of one colour. CLM_E_ARG a side not in 1 .. 65500; CLM_E_NOMEM. */
CLM_MUST bool clm_picture_new(int64_t width, int64_t height, clm_colour ground, clm_picture *out,
                              clm_err *err);
void clm_picture_free(clm_picture *p); /* an empty one is fine */
/** Drawing is clipped to the picture. */
void clm_picture_put(clm_picture *p, int64_t x, int64_t y, clm_colour c);
void clm_picture_fill(clm_picture *p, int64_t x, int64_t y, int64_t width, int64_t height, clm_colour c);

/** Text in a built-in font, 5 x 7 dots of `size` pixels each and one below the line, 6 dots a character;
 *  (x, y) is its upper left corner. Printable ASCII; other bytes come out as '?'. */
void clm_picture_text(clm_picture *p, int64_t x, int64_t y, int size, clm_colour c, const char *text);
int64_t clm_picture_text_width(int size, const char *text);
/** The columns of a character, lowest bit the top dot. */
const unsigned char *clm_font_glyph(char c);

/** A bar of a round length, at most `most` pixels, its lower right corner at (right, bottom), its length
 *  in micrometres above it. */
void clm_picture_scale_bar(clm_picture *p, int64_t right, int64_t bottom, int64_t most, double um_per_pixel,
                           int size, clm_colour c);

/** A slice: values on rows and columns, with the size of one in micrometres. Owns nothing. */
typedef struct clm_plane {
    const float *data; /* [rows][columns]; NaN: outside, black in overlays, grey in maps */
    int64_t rows, columns;
    double spacing[2]; /* micrometres between rows, between columns */
} clm_plane;

/** Values shown black and full; percentiles of a plane's finite values. */
typedef struct clm_window {
    double lo, hi;
} clm_window;
/** The values that parts `low` and `high` (0 .. 1) of the finite values do not exceed; hi > lo always.
 *  CLM_E_NOMEM only. */
CLM_MUST bool clm_plane_window(const clm_plane *plane, double low, double high, clm_window *out,
                               clm_err *err);

typedef enum clm_zoom { CLM_ZOOM_NEAREST, CLM_ZOOM_LINEAR } clm_zoom;
typedef enum clm_palette {
    CLM_PALETTE_GREY,
    CLM_PALETTE_HEAT,     /* black, violet, orange, pale yellow: from bad to good, or little to much */
    CLM_PALETTE_DIVERGING /* blue below, white in the middle, red above                              */
} clm_palette;
clm_colour clm_palette_at(clm_palette palette, double t); /* t clamped to [0, 1]; NaN is black */

/** Pixels that a plane takes at so many micrometres a pixel, at least 1. */
void clm_plane_size(const clm_plane *plane, double um_per_pixel, int64_t *width, int64_t *height);
/** Draw fixed in magenta and moving in green at (x, y); where both are bright it is white. The planes
 *  cover the same ground; each may have its own spacing. Shrinking averages. */
void clm_picture_overlay(clm_picture *p, int64_t x, int64_t y, double um_per_pixel, clm_zoom zoom,
                         const clm_plane *fixed, clm_window fixed_window, const clm_plane *moving,
                         clm_window moving_window);
/** Draw a plane in false colour. */
void clm_picture_map(clm_picture *p, int64_t x, int64_t y, double um_per_pixel, clm_zoom zoom,
                     const clm_plane *plane, clm_window window, clm_palette palette);
/** The palette as an upright bar with its window's ends beside it. */
void clm_picture_legend(clm_picture *p, int64_t x, int64_t y, int64_t height, clm_window window,
                        clm_palette palette, int size, clm_colour c);

/** Published whole (base/file.h). CLM_E_WRITE, CLM_E_NOMEM. */
CLM_MUST bool clm_picture_write_png(const clm_picture *p, const char *path, clm_err *err);

#endif
