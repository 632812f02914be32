#include "collimate/app/evaluation.h"
#include "collimate/base/text.h"

#include <math.h>

static double number(const clm_json *v, const char *key) {
    double x = NAN;
    (void)clm_json_number(clm_json_get(v, key), &x);
    return x;
}

/* A column of a table: its head and the key of its numbers. */
typedef struct column {
    const char *head, *key;
} column;

static bool print_cell(clm_buf *b, double x, clm_err *err) {
    return isfinite(x) ? clm_buf_printf(b, err, " %12.6g", x) : clm_buf_printf(b, err, " %12s", "-");
}

static bool print_head(clm_buf *b, const char *title, const column *c, int n, clm_err *err) {
    bool ok = clm_buf_printf(b, err, "%-16s", title);
    for (int i = 0; ok && i < n; i++) ok = clm_buf_printf(b, err, " %12s", c[i].head);
    return ok && clm_buf_printf(b, err, "\n");
}

static bool print_row(clm_buf *b, const char *name, const clm_json *row, const column *c, int n,
                      clm_err *err) {
    bool ok = !row || clm_buf_printf(b, err, "  %-14s", name);
    for (int i = 0; row && ok && i < n; i++) ok = print_cell(b, number(row, c[i].key), err);
    return ok && (!row || clm_buf_printf(b, err, "\n"));
}

/* rows before, affine, after */
static bool print_judged(clm_buf *b, const clm_json *section, const char *title, const column *c, int n,
                         clm_err *err) {
    static const char *const row[] = {"before", "affine", "after"};
    if (!section) return true;
    bool ok = print_head(b, title, c, n, err);
    for (int k = 0; ok && k < 3; k++) ok = print_row(b, row[k], clm_json_get(section, row[k]), c, n, err);
    return ok && clm_buf_printf(b, err, "\n");
}

static bool print_field(clm_buf *b, const clm_json *f, const clm_json *loop, clm_err *err) {
    static const column jacobian[] = {{"min", "min"},  {"1 %", "p1"},  {"50 %", "p50"},
                                      {"99 %", "p99"}, {"max", "max"}, {"folds", "folds"}};
    static const column length[] = {{"mean", "mean_um"}, {"50 %", "p50_um"}, {"90 %", "p90_um"},
                                    {"95 %", "p95_um"},  {"99 %", "p99_um"}, {"largest", "max_um"}};
    const clm_json *c = clm_json_get(f, "coverage");
    if (!f) return true;
    bool ok = print_head(b, "field", jacobian, 6, err) &&
              print_row(b, "Jacobian", clm_json_get(f, "jacobian"), jacobian, 6, err);
    if (ok && (clm_json_get(f, "displacement") || loop))
        ok = print_head(b, "lengths, um", length, 6, err) &&
             print_row(b, "displacement", clm_json_get(f, "displacement"), length, 6, err) &&
             print_row(b, "beside affine", clm_json_get(f, "displacement_beside_affine"), length, 6, err) &&
             print_row(b, "there and back", loop, length, 6, err);
    if (ok && number(loop, "not_converged") > 0.0)
        ok = clm_buf_printf(b, err, "  %.0f of %.0f points of the way back did not converge\n",
                            number(loop, "not_converged"), number(loop, "points"));
    if (ok && isfinite(number(f, "seam")))
        ok = clm_buf_printf(b, err, "  seam: gradient jumps on block faces over those elsewhere %.4f\n",
                            number(f, "seam"));
    if (ok && c)
        ok = clm_buf_printf(b, err, "  coverage: mean %.4f, least %.4f, %.0f of %.0f nodes below one half\n",
                            number(c, "mean"), number(c, "min"), number(c, "holes"), number(c, "nodes"));
    return ok && clm_buf_printf(b, err, "\n");
}

bool clm_evaluation_print(const clm_json *v, clm_buf *b, clm_err *err) {
    static const column images[] = {{"NCC", "ncc"},
                                    {"local NCC", "local_ncc"},
                                    {"MI, nats", "mutual_information_nats"},
                                    {"NMI", "normalised_mutual_information"},
                                    {"mean square", "mean_square_intensity2"},
                                    {"overlap", "overlap"}};
    static const column um[] = {{"mean", "mean_um"}, {"median", "p50_um"}, {"90 %", "p90_um"},
                                {"95 %", "p95_um"},  {"99 %", "p99_um"},   {"largest", "max_um"}};
    static const column vox[] = {{"mean", "mean_vox"}, {"median", "p50_vox"}, {"90 %", "p90_vox"},
                                 {"95 %", "p95_vox"},  {"99 %", "p99_vox"},   {"largest", "max_vox"}};
    static const column labels[] = {{"labels", "labels"},
                                    {"mean Dice", "dice_mean"},
                                    {"least Dice", "dice_min"},
                                    {"surface um", "surface_mean_um"},
                                    {"Hausdorff95", "hausdorff95_um"},
                                    {"beyond reach", "surface_beyond_reach"}};
    const clm_json *marks = clm_json_get(v, "landmarks"), *l = clm_json_get(v, "labels");
    bool in_vox = clm_json_get(clm_json_get(marks, "before"), "mean_vox") != NULL;
    return print_judged(b, clm_json_get(v, "images"), "images", images, 6, err) &&
           print_field(b, clm_json_get(v, "field"), clm_json_get(v, "inverse_consistency"), err) &&
           print_judged(b, marks, "landmarks, um", um, 6, err) &&
           print_judged(b, in_vox ? marks : NULL, "landmarks, vox", vox, 6, err) &&
           print_judged(b, l, "labels", labels, clm_json_get(l, "surface_reach_um") ? 6 : 3, err);
}
