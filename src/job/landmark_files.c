#include "collimate/job/landmark_files.h"
#include "collimate/base/file.h"
#include "collimate/job/point_list.h"
#include "collimate/transform/transform_out.h"
#include "collimate/job/view.h"
#include "collimate/transform/transform.h"

#include <math.h>
#include <string.h>

#define CHUNK 32
#define NODES_MOST 1e9
#define POINTS_MOST 1000000
#define NODES_BY_DEFAULT 64.0

/* ---- elastix ---- */

/* a list of points; indices have no place in the world here */
static bool read_points(const clm_work *w, const char *path, double (**out)[3], int64_t *n, clm_err *err) {
    clm_list_kind kind;
    clm_lines in;
    const char *text;
    size_t length;
    int64_t at = 0;
    if (!clm_point_list_kind(path, &kind, err)) return false;
    if (kind == CLM_LIST_INDEX)
        return clm_fail(err, CLM_E_UNSUPPORTED, "%s: indices of voxels; \"point\" and world units are wanted",
                        path);
    if (kind == CLM_LIST_NONE)
        return clm_fail(err, CLM_E_FORMAT, "%s: no list of elastix, which begins with \"point\"", path);
    if (!clm_lines_open(path, &in, err)) return false;
    bool ok = clm_point_list_begin(&in, kind, n, err);
    if (ok && (*n < 1 || *n > POINTS_MOST))
        ok = clm_fail(err, CLM_E_FORMAT, "%s: %lld points; 1 to %d are possible", path, (long long)*n,
                      POINTS_MOST);
    ok = ok && (*out = clm_arena_take(w->keep, *n, sizeof **out, err)) != NULL;
    while (ok && at < *n) {
        ok = clm_lines_next(&in, &text, &length, err);
        if (ok && length > 0) ok = clm_point_list_row(&in, text, length, kind, 1.0, NULL, (*out)[at++], err);
    }
    clm_lines_close(&in);
    return ok;
}

bool clm_landmarks_read_elastix(const clm_work *w, const char *fixed, const char *moving, clm_landmarks *out,
                                clm_err *err) {
    int64_t n[2] = {0};
    double(*at[2])[3];
    for (int side = 0; side < 2; side++)
        if (!read_points(w, side ? moving : fixed, &at[side], &n[side], err)) return false;
    if (n[0] != n[1])
        return clm_fail(err, CLM_E_FORMAT, "%s has %lld points, %s %lld: they must be pairs", fixed,
                        (long long)n[0], moving, (long long)n[1]);
    *out = (clm_landmarks){.n = n[0], .fixed = at[0], .moving = at[1]};
    return true;
}

/* ---- the lattice ---- */

static bool lay(const clm_landmarks *marks, const clm_landmark_lattice *l, clm_transform_out *out,
                clm_err *err) {
    clm_transform_spec *t = &out->spec;
    double lo[3], hi[3], longest = 0.0, nodes = 1.0;
    if (l->like && !clm_view_frame_like(l->like, l->like_level, &t->fixed, err)) return false;
    for (int d = 0; d < 3; d++) {
        lo[d] = INFINITY, hi[d] = -INFINITY;
        for (int64_t i = 0; i < marks->n; i++)
            lo[d] = fmin(lo[d], marks->fixed[i][d]), hi[d] = fmax(hi[d], marks->fixed[i][d]);
        double more = 0.05 * (hi[d] - lo[d]);
        lo[d] -= more, hi[d] += more;
        if (l->like) {
            lo[d] = t->fixed.origin_um[d];
            hi[d] = lo[d] + (double)(t->fixed.shape[d] - 1) * t->fixed.spacing_um[d];
        }
        longest = fmax(longest, hi[d] - lo[d]);
    }
    for (int d = 0; d < 3; d++) {
        double step = l->spacing_um[d] > 0.0 ? l->spacing_um[d] : fmax(longest, 1e-6) / NODES_BY_DEFAULT;
        double n = 1.0 + ceil((hi[d] - lo[d]) / step - 1e-9);
        nodes *= n;
        t->spacing_um[d] = step;
        t->origin_um[d] = lo[d];
        t->shape[d] = nodes <= NODES_MOST ? (int64_t)n : 1;
        t->chunk[d] = t->shape[d] < CHUNK ? t->shape[d] : CHUNK;
    }
    if (nodes > NODES_MOST)
        return clm_fail(err, CLM_E_ARG, "%.3g nodes; give a larger --spacing than %g,%g,%g um", nodes,
                        t->spacing_um[0], t->spacing_um[1], t->spacing_um[2]);
    out->chunks = clm_grid_chunks(t->shape, t->chunk);
    return true;
}

/* u(x) of T(x) = A(x + u(x)) */
static void bend(const clm_landmark_fit *f, const clm_affine *back, const double x[3], double u[3]) {
    clm_landmark_fit_apply(f, x, u);
    clm_affine_apply(back, u, u);
    for (int d = 0; d < 3; d++) u[d] -= x[d];
}

/* the chunk's nodes, and how far interpolation is off at the centres of its cells */
static bool put_chunk(const clm_work *w, const clm_landmark_fit *f, const clm_affine *back,
                      const clm_transform_out *out, int64_t chunk, double *worst, double *squares,
                      double *cells, clm_err *err) {
    clm_box core = clm_grid_core(&out->chunks, chunk), box = core;
    const clm_transform_spec *t = &out->spec;
    clm_field wide, u;
    int64_t shape[3], grown[3], i = 0;
    double lo[3];
    for (int d = 0; d < 3; d++) {
        box.hi[d] += box.hi[d] < t->shape[d];
        shape[d] = core.hi[d] - core.lo[d], grown[d] = box.hi[d] - box.lo[d];
        lo[d] = t->origin_um[d] + (double)core.lo[d] * t->spacing_um[d];
    }
    float *coverage = clm_take(w->temp, float, clm_box_count(core), err);
    if (!coverage || !clm_field_new(w->temp, grown, t->spacing_um, lo, &wide, err) ||
        !clm_field_new(w->temp, shape, t->spacing_um, lo, &u, err))
        return false;
    for (int64_t z = 0, k = 0; z < grown[0]; z++)
        for (int64_t y = 0; y < grown[1]; y++)
            for (int64_t x = 0; x < grown[2]; x++, k++) {
                const int64_t at[3] = {z, y, x};
                double p[3], v[3];
                bool inside = true;
                for (int d = 0; d < 3; d++) {
                    p[d] = lo[d] + (double)at[d] * t->spacing_um[d];
                    inside &= at[d] < shape[d];
                }
                bend(f, back, p, v);
                for (int d = 0; d < 3; d++) wide.u[d][k] = (float)v[d];
                if (!inside) continue;
                for (int d = 0; d < 3; d++) u.u[d][i] = (float)v[d];
                coverage[i++] = 1.0f;
            }
    for (int64_t z = 0; z < grown[0] - (t->shape[0] > 1); z++)
        for (int64_t y = 0; y < grown[1] - (t->shape[1] > 1); y++)
            for (int64_t x = 0; x < grown[2] - (t->shape[2] > 1); x++) {
                const int64_t at[3] = {z, y, x};
                double p[3], want[3], got[3];
                for (int d = 0; d < 3; d++)
                    p[d] = lo[d] + ((double)at[d] + (t->shape[d] > 1 ? 0.5 : 0.0)) * t->spacing_um[d];
                clm_landmark_fit_apply(f, p, want);
                clm_transform_point(&t->affine, &wide, p, got);
                double r = hypot(hypot(got[0] - want[0], got[1] - want[1]), got[2] - want[2]);
                *worst = fmax(*worst, r), *squares += r * r, *cells += 1.0;
            }
    return clm_transform_out_put(out, chunk, w->temp, &u, coverage, NULL, err);
}

static bool put_field(const clm_work *w, const clm_landmark_fit *f, clm_transform_out *out,
                      clm_landmark_written *written, clm_err *err) {
    clm_affine back;
    double squares = 0.0, cells = 0.0;
    clm_mark mark = clm_arena_mark(w->temp);
    if (!clm_affine_invert(&f->affine, &back, err)) return clm_err_in(err, "the spline's affine part");
    bool ok = clm_transform_out_create(out, err) && clm_transform_out_open(out, err);
    for (int64_t c = 0; ok && c < out->chunks.n; c++) {
        ok = put_chunk(w, f, &back, out, c, &written->cells_max_um, &squares, &cells, err);
        clm_arena_rewind(w->temp, mark);
    }
    clm_transform_out_close(out);
    written->cells_rms_um = sqrt(squares / fmax(cells, 1.0));
    return ok;
}

/* the transform as any command opens it, at the landmarks */
static bool measure_points(const clm_work *w, const clm_landmark_fit *f, const clm_landmarks *marks,
                           const char *path, clm_landmark_written *written, clm_err *err) {
    clm_map map = {.n = 0};
    clm_mark mark = clm_arena_mark(w->keep);
    double(*x)[3] = clm_arena_take(w->keep, marks->n, sizeof *x, err);
    uint8_t *flags = x ? clm_take(w->keep, uint8_t, marks->n, err) : NULL;
    bool ok = flags && clm_map_open(&path, 1, (size_t)64 << 20, &map, err);
    if (ok) {
        memcpy(x, marks->fixed, (size_t)marks->n * sizeof *x);
        ok = clm_map_points(&map, w, marks->n, x, flags, err);
    }
    for (int64_t i = 0; ok && i < marks->n; i++) {
        double y[3];
        clm_landmark_fit_apply(f, marks->fixed[i], y);
        if (flags[i] & CLM_POINT_EXTRAPOLATED)
            written->points_outside++;
        else
            written->points_max_um =
                fmax(written->points_max_um, hypot(hypot(x[i][0] - y[0], x[i][1] - y[1]), x[i][2] - y[2]));
    }
    clm_map_close(&map);
    clm_arena_rewind(w->keep, mark);
    return ok;
}

bool clm_landmarks_check_out(const char *path, bool spline, clm_err *err) {
    clm_transform_kind kind;
    if (!clm_transform_kind_of(path, NULL, &kind, err)) return false;
    if (spline ? kind != CLM_TRANSFORM_SCENE : clm_transform_kind_is_whole(kind))
        return clm_fail(
            err, CLM_E_ARG,
            "%s cannot hold it: give a name.ome.zarr; collimate compose writes that for other programs",
            path);
    return clm_path_kind_of(path) == CLM_PATH_NONE ||
           clm_fail(err, CLM_E_WRITE, "%s: is there already; give another output, or remove it", path);
}

bool clm_landmarks_write(const clm_work *w, const clm_landmark_fit *f, const clm_landmarks *marks,
                         const clm_landmark_lattice *l, const char *path, clm_landmark_written *written,
                         clm_err *err) {
    clm_transform_out out = {.spec = {.affine = f->affine}};
    *written = (clm_landmark_written){.shape = {0}};
    if (!clm_landmarks_check_out(path, f->n > 0, err) || !clm_path_format(out.path, err, "%s", path) ||
        !clm_transform_kind_of(path, NULL, &out.kind, err))
        return false;
    if (f->n == 0) {
        if (l->like && !clm_view_frame_like(l->like, l->like_level, &out.spec.fixed, err)) return false;
        return clm_transform_out_finish(&out, NULL, err);
    }
    if (!lay(marks, l, &out, err)) return false;
    memcpy(written->shape, out.spec.shape, sizeof written->shape);
    memcpy(written->spacing_um, out.spec.spacing_um, sizeof written->spacing_um);
    if (put_field(w, f, &out, written, err) && clm_transform_out_finish(&out, NULL, err) &&
        measure_points(w, f, marks, path, written, err))
        return true;
    clm_err none = CLM_ERR_NONE;
    if (!clm_folder_remove(path, &none)) return clm_err_in(err, "left half-written");
    return false;
}
