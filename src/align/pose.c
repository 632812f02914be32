#include "collimate/align/pose.h"

#include <math.h>
#include <string.h>

const char *clm_model_name(clm_model m) {
    static const char *const name[CLM_MODEL_COUNT] = {"translation", "rigid", "similarity", "affine"};
    return m >= 0 && m < CLM_MODEL_COUNT ? name[m] : "unknown";
}

int clm_model_pairs(clm_model m) { return m == CLM_MODEL_TRANSLATION ? 1 : m == CLM_MODEL_AFFINE ? 4 : 3; }

/** Eigenvalues of a symmetric n x n matrix, n <= 4, by cyclic Jacobi; columns of v are the vectors. */
static void eigen(int n, double a[4][4], double v[4][4]) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) v[i][j] = i == j;
    for (int sweep = 0; sweep < 20; sweep++) {
        double off = 0, all = 0;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                all += a[i][j] * a[i][j];
                if (i != j) off += a[i][j] * a[i][j];
            }
        if (off <= 1e-30 * all) return;
        for (int p = 0; p < n - 1; p++)
            for (int q = p + 1; q < n; q++) {
                if (a[p][q] == 0) continue;
                double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
                double t = copysign(1.0, theta) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < n; k++) {
                    double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
                }
                for (int k = 0; k < n; k++) {
                    double x = a[p][k], y = a[q][k];
                    a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
                    x = v[k][p], y = v[k][q];
                    v[k][p] = c * x - s * y, v[k][q] = s * x + c * y;
                }
            }
    }
}

/** Weighted first and second moments. */
typedef struct moments {
    double weight, p[3], q[3]; /* total; means */
    double pp[3][3];           /* sum of w (p - mean)(p - mean)' */
    double qp[3][3];           /* sum of w (q - mean)(p - mean)' */
} moments;

static moments moments_of(int64_t n, const double (*p)[3], const double (*q)[3], const double *weight) {
    moments m;
    memset(&m, 0, sizeof m);
    for (int64_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1;
        m.weight += w;
        for (int d = 0; d < 3; d++) m.p[d] += w * p[i][d], m.q[d] += w * q[i][d];
    }
    if (!(m.weight > 0)) return m;
    for (int d = 0; d < 3; d++) m.p[d] /= m.weight, m.q[d] /= m.weight;
    for (int64_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1, a[3], b[3];
        for (int d = 0; d < 3; d++) a[d] = p[i][d] - m.p[d], b[d] = q[i][d] - m.q[d];
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 3; c++) m.pp[r][c] += w * a[r] * a[c], m.qp[r][c] += w * b[r] * a[c];
    }
    return m;
}

static void spread_of(const moments *m, double spread[3]) {
    double a[4][4] = {{0}}, v[4][4];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) a[i][j] = m->pp[i][j] / m->weight;
    eigen(3, a, v);
    for (int i = 0; i < 3; i++) spread[i] = sqrt(fmax(0, a[i][i]));
    for (int i = 0; i < 2; i++)
        for (int j = i + 1; j < 3; j++)
            if (spread[j] > spread[i]) {
                double t = spread[i];
                spread[i] = spread[j], spread[j] = t;
            }
}

/** M = qp * inverse(pp). */
static bool fit_linear(const moments *m, double out[3][3]) {
    double inv[3][3], det = 0, trace = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int i1 = (i + 1) % 3, i2 = (i + 2) % 3, j1 = (j + 1) % 3, j2 = (j + 2) % 3;
            inv[i][j] = m->pp[i1][j1] * m->pp[i2][j2] - m->pp[i1][j2] * m->pp[i2][j1]; /* symmetric */
        }
    for (int j = 0; j < 3; j++) det += m->pp[0][j] * inv[0][j], trace += m->pp[j][j];
    if (!(det > 1e-12 * trace * trace * trace)) return false;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            out[i][j] = 0;
            for (int k = 0; k < 3; k++) out[i][j] += m->qp[i][k] * inv[k][j] / det;
        }
    return true;
}

/** Horn's quaternion: the top eigenvector of a 4 x 4 matrix of the cross moments. Axes are taken in the
 *  order given; a rotation of (z, y, x) triples is a rotation. */
static bool fit_rotation(const moments *m, bool scaled, double out[3][3]) {
    double s[3][3], a[4][4], v[4][4], pp = 0;
    for (int i = 0; i < 3; i++) {
        pp += m->pp[i][i];
        for (int j = 0; j < 3; j++) s[i][j] = m->qp[j][i]; /* Horn: s[i][j] = sum of p_i q_j */
    }
    a[0][0] = s[0][0] + s[1][1] + s[2][2];
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        a[0][i + 1] = a[i + 1][0] = s[j][k] - s[k][j];
        a[i + 1][i + 1] = s[i][i] - s[j][j] - s[k][k];
        a[i + 1][j + 1] = a[j + 1][i + 1] = s[i][j] + s[j][i];
    }
    eigen(4, a, v);
    int top = 0, second = -1;
    for (int i = 1; i < 4; i++)
        if (a[i][i] > a[top][top]) top = i;
    for (int i = 0; i < 4; i++)
        if (i != top && (second < 0 || a[i][i] > a[second][second])) second = i;
    if (!(a[top][top] - a[second][second] > 1e-9 * fabs(a[top][top]))) return false; /* on a line */
    double w = v[0][top], x = v[1][top], y = v[2][top], z = v[3][top];
    const double r[3][3] = {
        {w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)},
        {2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)},
        {2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z},
    };
    double scale = 1;
    if (scaled) {
        scale = 0;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) scale += r[i][j] * m->qp[i][j];
        scale /= pp;
        if (!(scale > 0)) return false;
    }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) out[i][j] = scale * r[i][j];
    return true;
}

bool clm_pose_fit(clm_model model, int64_t n, const double (*p)[3], const double (*q)[3],
                  const double *weight, clm_affine *out, double spread[3], clm_err *err) {
    moments m = moments_of(n, p, q, weight);
    double linear[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    bool ok = n >= clm_model_pairs(model) && m.weight > 0;
    if (ok && model == CLM_MODEL_AFFINE)
        ok = fit_linear(&m, linear);
    else if (ok && model != CLM_MODEL_TRANSLATION)
        ok = fit_rotation(&m, model == CLM_MODEL_SIMILARITY, linear);
    if (!ok)
        return clm_fail(err, CLM_E_NUMERIC, "%lld pairs do not determine a model of kind %s", (long long)n,
                        clm_model_name(model));
    for (int i = 0; i < 3; i++) {
        out->m[i][3] = m.q[i];
        for (int j = 0; j < 3; j++) {
            out->m[i][j] = linear[i][j];
            out->m[i][3] -= linear[i][j] * m.p[j];
        }
    }
    if (spread) spread_of(&m, spread);
    return true;
}
