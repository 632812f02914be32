/* collimate landmarks: a transform from pairs of points. */
#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/job/landmark_files.h"
#include "collimate/transform/transform_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: collimate landmarks PAIRS.csv OUT --model MODEL [OPTIONS]\n"
    "       collimate landmarks FIXED.txt MOVING.txt OUT --model MODEL [OPTIONS]\n\n"
    "A transform, fixed to moving, from pairs of landmarks, and how far each pair lies off: with it, and when the fit\n"
    "does not know it (left out), which is what to expect elsewhere.\n\n"
    "  PAIRS.csv   columns fixed z y x, moving z y x, or named fixed_z ... moving_x in any order, and weight (above 0);\n"
    "              or BigWarp's landmarks (name, active, moving x y z, fixed x y z)\n"
    "  FIXED.txt   points of elastix: \"point\", their number, x y z of each; the same of the moving side, same order\n"
    "  OUT         NAME.ome.zarr, as apply, points and compose take it; but for tps also NAME.json, NAME.txt\n\n"
    "  --model M        translation, rigid, similarity, affine, or tps (thin-plate spline)\n"
    "  --smoothing L    of tps: 0 (default) leads through all points, large ones tend to the affine\n"
    "  --planar         all points have one z on each side: y and x are fitted\n"
    "  --unit U         of the points: um (default), nm, mm\n"
    "Lattice of tps (its affine part stays exact)\n"
    "  --like PATH[:LEVEL]  over the grid of this image (default: over the fixed points and 5 % more on each side)\n"
    "  --spacing Z,Y,X      micrometres between nodes, or one number (default: longest side / 64)\n"
    "What comes out\n"
    "  --json         all figures and every pair as JSON on stdout\n"
    "  --worst N      pairs listed, those farthest off when left out (5)\n"
    "  -q, --quiet  -h, --help\n\n"
    "Examples:\n"
    "  collimate landmarks pairs.csv start.json --model similarity\n"
    "  collimate landmarks bigwarp.csv warp.ome.zarr --model tps --like fixed.ome.zarr --spacing 20\n"
    "  collimate landmarks fixed.txt moving.txt rigid.txt --model rigid --unit mm --json >quality.json\n\n"
    "Exit codes: 0 done; 2 usage; 3 input, or points that do not determine the model; 4 output.\n";

typedef struct options {
    clm_landmark_fit_params fit;
    clm_landmark_lattice lattice;
    const char *in[2], *out;
    double unit_um;
    int64_t worst;
    bool json;
    clm_args args;
} options;

/* ---- the command line ---- */

static bool set_model(void *to, const char *name, const char *text, clm_err *err) {
    options *o = to;
    for (o->fit.model = 0; o->fit.model <= CLM_LANDMARKS_TPS; o->fit.model++)
        if (strcmp(text, clm_landmark_model_name(o->fit.model)) == 0) return true;
    return clm_fail(err, CLM_E_ARG, "--%s %s: must be translation, rigid, similarity, affine or tps", name,
                    text);
}

static bool set_unit(void *to, const char *name, const char *text, clm_err *err) {
    double *unit_um = to;
    *unit_um = strcmp(text, "um") == 0   ? 1.0
               : strcmp(text, "nm") == 0 ? 1e-3
               : strcmp(text, "mm") == 0 ? 1e3
                                         : 0.0;
    return *unit_um > 0.0 || clm_fail(err, CLM_E_ARG, "--%s %s: must be um, nm or mm", name, text);
}

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    *o = (options){.fit = {.model = -1}, .unit_um = 1.0, .worst = 5};
    const clm_arg table[] = {CLM_OPT("model", CALL, o, .set = set_model),
                             CLM_OPT("smoothing", REAL, &o->fit.smoothing, .most = 1e300),
                             CLM_OPT("planar", ON, &o->fit.planar),
                             CLM_OPT("unit", CALL, &o->unit_um, .set = set_unit),
                             CLM_OPT("like", LEVEL, &o->lattice.like, .level = &o->lattice.like_level),
                             CLM_OPT("spacing", THREE, o->lattice.spacing_um, .above = true, .one = true),
                             CLM_OPT("json", ON, &o->json),
                             CLM_OPT("worst", WHOLE, &o->worst, .most = 1e15),
                             CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK, &o->args, err)) return false;
    if (o->args.help) return true;
    int n = o->args.n_rest;
    if (n < 2 || n > 3)
        return clm_fail(err, CLM_E_ARG, "wants a table, or two lists, of points, and an output; see --help");
    if (o->fit.model < 0)
        return clm_fail(err, CLM_E_ARG, "--model is missing: translation, rigid, similarity, affine or tps");
    if (o->fit.smoothing > 0.0 && o->fit.model != CLM_LANDMARKS_TPS)
        return clm_fail(err, CLM_E_ARG, "--smoothing is for --model tps");
    for (int i = 0; i + 1 < n; i++) o->in[i] = o->args.rest[i];
    o->out = o->args.rest[n - 1];
    return true;
}

/* ---- figures ---- */

typedef struct figures {
    int64_t n;
    double mean, median, max;
} figures;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* of those that are numbers; scratch [n] */
static figures figures_of(int64_t n, const double *x, double *scratch) {
    figures f = {.mean = NAN, .median = NAN, .max = NAN};
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i])) scratch[f.n++] = x[i], sum += x[i];
    if (f.n == 0) return f;
    qsort(scratch, (size_t)f.n, sizeof *scratch, ascending);
    f.mean = sum / (double)f.n;
    f.median = 0.5 * (scratch[(f.n - 1) / 2] + scratch[f.n / 2]);
    f.max = scratch[f.n - 1];
    return f;
}

typedef struct result {
    const options *o;
    clm_landmarks marks;
    clm_landmark_fit fit;
    clm_landmark_written written;
    double *before_um;
    figures before, residual, left_out;
} result;

static void add_number(clm_json *v, const char *key, double x) {
    if (isfinite(x))
        clm_json_add_number(v, key, x);
    else
        clm_json_add_null(v, key);
}

static void add_figures(clm_json *root, const char *key, const figures *f) {
    clm_json *v = clm_json_add_object(root, key);
    clm_json_add_number(v, "pairs", (double)f->n);
    add_number(v, "mean_um", f->mean);
    add_number(v, "median_um", f->median);
    add_number(v, "max_um", f->max);
}

static void add_all(const result *r, clm_json *v) {
    const clm_landmark_written *l = &r->written;
    clm_json_add_text(v, "model", clm_landmark_model_name(r->o->fit.model));
    clm_json_add_number(v, "pairs", (double)r->marks.n);
    if (r->fit.n) clm_json_add_number(v, "smoothing", r->o->fit.smoothing);
    clm_json_add_numbers(v, "fixed_extents_um", r->fit.spread, 3);
    clm_affine_to_json(&r->fit.affine, v);
    add_figures(v, "before", &r->before);
    add_figures(v, "residual", &r->residual);
    add_figures(v, "left_out", &r->left_out);
    if (l->shape[0]) {
        clm_json *k = clm_json_add_object(v, "lattice");
        clm_json_add_ints(k, "shape", l->shape, 3);
        clm_json_add_numbers(k, "spacing_um", l->spacing_um, 3);
        clm_json_add_number(k, "interpolation_max_um", l->cells_max_um);
        clm_json_add_number(k, "interpolation_rms_um", l->cells_rms_um);
        clm_json_add_number(k, "interpolation_at_points_max_um", l->points_max_um);
        clm_json_add_number(k, "points_outside", (double)l->points_outside);
    }
    clm_json *list = clm_json_add_list(v, "points");
    for (int64_t i = 0; i < r->marks.n; i++) {
        clm_json *k = clm_json_add_object(list, NULL);
        clm_json_add_numbers(k, "fixed_um", r->marks.fixed[i], 3);
        clm_json_add_numbers(k, "moving_um", r->marks.moving[i], 3);
        clm_json_add_number(k, "before_um", r->before_um[i]);
        clm_json_add_number(k, "residual_um", r->fit.residual_um[i]);
        add_number(k, "left_out_um", r->fit.left_out_um[i]);
    }
}

static void print_row(const char *name, const figures *f) {
    (void)printf("%-12s", name);
    const double x[3] = {f->mean, f->median, f->max};
    for (int k = 0; k < 3; k++) (void)(isnan(x[k]) ? printf(" %12s", "-") : printf(" %12.6g", x[k]));
    (void)printf(" %8lld\n", (long long)f->n);
}

static void print_worst(const result *r, double *left) {
    for (int64_t i = 0; i < r->marks.n; i++)
        left[i] = isnan(r->fit.left_out_um[i]) ? -1.0 : r->fit.left_out_um[i];
    for (int64_t k = 0; k < r->o->worst && k < r->marks.n; k++) {
        int64_t w = 0;
        for (int64_t i = 1; i < r->marks.n; i++)
            if (left[i] > left[w]) w = i;
        if (left[w] < 0.0) return;
        const double *x = r->marks.fixed[w];
        (void)printf("%s%lld at %.6g,%.6g,%.6g: left out %.6g, residual %.6g\n",
                     k ? "             " : "worst, pair  ", (long long)(w + 1), x[0], x[1], x[2], left[w],
                     r->fit.residual_um[w]);
        left[w] = -1.0;
    }
}

static void print_table(const result *r, double *scratch) {
    const clm_landmark_written *l = &r->written;
    (void)printf("%s from %lld pairs; rms extents of the fixed points %.4g, %.4g, %.4g um\n",
                 clm_landmark_model_name(r->o->fit.model), (long long)r->marks.n, r->fit.spread[0],
                 r->fit.spread[1], r->fit.spread[2]);
    (void)printf("%-12s %12s %12s %12s %8s\n", "error, um", "mean", "median", "max", "pairs");
    print_row("before", &r->before);
    print_row("residual", &r->residual);
    print_row("left out", &r->left_out);
    print_worst(r, scratch);
    if (l->shape[0] == 0) return;
    (void)printf(
        "lattice      %lld x %lld x %lld nodes, %.4g x %.4g x %.4g um apart; interpolation is off by at most "
        "%.3g um (rms %.3g) at the centres of cells, %.3g um at the landmarks\n",
        (long long)l->shape[0], (long long)l->shape[1], (long long)l->shape[2], l->spacing_um[0],
        l->spacing_um[1], l->spacing_um[2], l->cells_max_um, l->cells_rms_um, l->points_max_um);
    if (l->points_outside)
        (void)printf("%lld landmarks lie beyond the lattice, which keeps its border's value there\n",
                     (long long)l->points_outside);
}

static bool tell(const result *r, double *scratch, clm_err *err) {
    clm_buf b = {0};
    if (!r->o->json) {
        if (!r->o->args.quiet) print_table(r, scratch);
        return true;
    }
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    add_all(r, v);
    bool ok = clm_json_print(v, true, &b, err);
    if (ok) (void)fwrite(b.data, 1, b.n, stdout);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool read_marks(const clm_work *w, const options *o, clm_landmarks *m, clm_err *err) {
    if (!(o->in[1] ? clm_landmarks_read_elastix(w, o->in[0], o->in[1], m, err)
                   : clm_landmarks_read(w, o->in[0], m, err)))
        return false;
    for (int64_t i = 0; i < m->n; i++)
        for (int d = 0; d < 3; d++) m->fixed[i][d] *= o->unit_um, m->moving[i][d] *= o->unit_um;
    return true;
}

static bool run(const clm_work *w, const options *o, clm_err *err) {
    result r = {.o = o};
    if (!clm_landmarks_check_out(o->out, o->fit.model == CLM_LANDMARKS_TPS, err) ||
        !read_marks(w, o, &r.marks, err))
        return false;
    const clm_landmarks *m = &r.marks;
    double *scratch = clm_take(w->keep, double, m->n, err);
    r.before_um = scratch ? clm_take(w->keep, double, m->n, err) : NULL;
    if (!r.before_um || !clm_landmark_fit_find(w, &o->fit, m->n, (const double(*)[3])m->fixed,
                                               (const double(*)[3])m->moving, m->weight, &r.fit, err))
        return clm_err_in(err, "%s", o->in[0]);
    for (int64_t i = 0; i < m->n; i++) {
        const double *x = m->fixed[i], *y = m->moving[i];
        r.before_um[i] = hypot(hypot(x[0] - y[0], x[1] - y[1]), x[2] - y[2]);
    }
    r.before = figures_of(m->n, r.before_um, scratch);
    r.residual = figures_of(m->n, r.fit.residual_um, scratch);
    r.left_out = figures_of(m->n, r.fit.left_out_um, scratch);
    return clm_landmarks_write(w, &r.fit, m, &o->lattice, o->out, &r.written, err) && tell(&r, scratch, err);
}

int clm_cmd_landmarks(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    options o;
    clm_work w = {.keep = NULL};
    if (!clm_launch_is_first()) return CLM_EXIT_DONE; /* one process is enough, however it is started */
    if (!parse(argc, argv, &o, &err)) return clm_command_fails("landmarks", &err);
    if (o.args.help) return clm_launch_help(help);
    bool ok = clm_arena_open_pair((size_t)8 << 30, &w.keep, &w.temp, &err) && run(&w, &o, &err);
    clm_arena_close(w.keep);
    clm_arena_close(w.temp);
    return ok ? CLM_EXIT_DONE : clm_command_fails("landmarks", &err);
}
