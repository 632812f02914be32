/* Histograms of a report: of the whole field, drawn by a task, for the page to take in. */
#include "collimate/app/report.h"
#include "collimate/base/file.h"
#include "collimate/job/evaluate.h"
#include "report_parts.h"

#include <math.h>

#define CACHE_MIB 16.0 /* a block of nodes and those around it are read once */

bool clm_report_put_bars(clm_buf *b, const double bar[CLM_REPORT_BARS], double lo, double hi,
                         const char *title, clm_err *err) {
    enum { WIDE = 9, HIGH = 120 };
    double most = 0.0;
    for (int i = 0; i < CLM_REPORT_BARS; i++) most = fmax(most, bar[i]);
    if (!(most > 0.0)) return true;
    bool ok =
        clm_buf_printf(b, err, "<figure><svg width=\"%d\" height=\"%d\">", CLM_REPORT_BARS * WIDE, HIGH + 18);
    for (int i = 0; ok && i < CLM_REPORT_BARS; i++)
        ok = clm_buf_printf(b, err,
                            "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"#3b6ea5\"/>",
                            i * WIDE, HIGH * (1.0 - bar[i] / most), WIDE - 1, HIGH * bar[i] / most);
    return ok && clm_buf_printf(
                     b, err,
                     "<text y=\"%d\" font-size=\"12\">%.3g</text><text x=\"%d\" y=\"%d\" font-size=\"12\" "
                     "text-anchor=\"end\">%.3g</text></svg><figcaption>%s</figcaption></figure>\n",
                     HIGH + 14, lo, CLM_REPORT_BARS * WIDE, HIGH + 14, hi, title);
}

static bool put_values(clm_buf *b, const clm_quantile *q, double lo, double hi, const char *title,
                       clm_err *err) {
    double bar[CLM_REPORT_BARS], below = 0.0;
    for (int i = 0; i < CLM_REPORT_BARS; i++) {
        double upto = clm_quantile_below(q, lo + (hi - lo) * (i + 1) / CLM_REPORT_BARS);
        bar[i] = i + 1 == CLM_REPORT_BARS ? (double)q->n - below : upto - below;
        below = upto;
    }
    return clm_report_put_bars(b, bar, lo, hi, title, err);
}

static bool put_jacobians(clm_buf *b, const clm_jacobian_sums *s, double det, clm_err *err) {
    double bar[CLM_REPORT_BARS] = {0}; /* from 0 to 2 of det(I + grad u) */
    for (int i = 0; i < CLM_JACOBIAN_BINS; i++) {
        int at = i * 2 * CLM_REPORT_BARS / CLM_JACOBIAN_BINS;
        bar[at < CLM_REPORT_BARS ? at : CLM_REPORT_BARS - 1] += (double)s->bin[i];
    }
    return clm_report_put_bars(b, bar, 0.0, 2.0 * det, "Jacobian at the centres of lattice cells", err);
}

/* lengths and Jacobians of the whole field, as evaluate has them */
static bool put_field(clm_buf *b, const clm_evaluate *e, const clm_work *w, clm_err *err) {
    clm_quantile q[CLM_SPREADS];
    clm_jacobian_stats j;
    clm_field_sums *s = clm_take_zero(w->temp, clm_field_sums, 1, err);
    bool ok = s != NULL;
    for (int k = 0; ok && k < CLM_SPREADS; k++) ok = clm_quantile_new(w->temp, &q[k], err);
    ok = ok && clm_evaluate_field(e, w, 0, e->blocks[CLM_EVALUATE_FIELD].n, s, q, err) &&
         clm_jacobian_conclude(&e->affine, &s->jacobian, &j, err);
    double most = ok ? s->length_most[CLM_SPREAD_BESIDE] : 0.0;
    return ok &&
           put_values(b, &q[CLM_SPREAD_BESIDE], 0.0, most * 1.01 + 1e-9,
                      "displacement beside the affine (um)", err) &&
           put_jacobians(b, &s->jacobian, clm_affine_det(&e->affine), err) &&
           clm_buf_printf(b, err,
                          "<p>Jacobian from %.3f to %.3f, %lld folds in %lld cells; displacement beside the "
                          "affine %.3g um on average, at most %.3g um.</p>\n",
                          j.min, j.max, (long long)j.folds, (long long)j.cells,
                          s->length[CLM_SPREAD_BESIDE] / (double)s->nodes, most);
}

static bool open_evaluation(const clm_run *run, clm_evaluate **out, clm_err *err) {
    clm_evaluate_spec spec = CLM_EVALUATE_DEFAULTS;
    clm_json *v = NULL;
    spec.run = spec.folder = run->folder;
    spec.cache_mib = CACHE_MIB;
    return clm_evaluate_spec_to_json(&spec, &v, err) && clm_evaluate_open(v, out, err);
}

bool clm_report_field_path(const clm_run *run, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_run_path(run, out, err, "report/field.html");
}

bool clm_report_draw_field(const clm_run *run, const clm_work *w, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_evaluate *e = NULL;
    clm_buf b = {0};
    bool ok = open_evaluation(run, &e, err);
    if (ok && e->has_field)
        ok = put_field(&b, e, w, err) && clm_report_field_path(run, path, err) &&
             clm_file_publish(path, b.data, b.n, false, err);
    clm_buf_free(&b);
    clm_evaluate_close(e);
    return ok;
}
