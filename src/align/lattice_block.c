#include "collimate/align/lattice.h"

#include <string.h>

void clm_lattice_block_make(clm_lattice_block *out, int64_t n, const double (*p)[3], const double (*q)[3],
                            const uint8_t *agrees) {
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        if (agrees && !agrees[i]) continue;
        out->n += 1;
        for (int d = 0; d < 3; d++) out->p[d] += p[i][d], out->q[d] += q[i][d];
    }
    if (out->n == 0) return;
    for (int d = 0; d < 3; d++) out->p[d] /= out->n, out->q[d] /= out->n;
    for (int64_t i = 0; i < n; i++) {
        if (agrees && !agrees[i]) continue;
        for (int a = 0, k = 0; a < 3; a++) {
            double pa = p[i][a] - out->p[a], qa = q[i][a] - out->q[a];
            for (int b = 0; b < 3; b++) out->qp[a][b] += qa * (p[i][b] - out->p[b]);
            for (int b = a; b < 3; b++, k++) {
                out->pp[k] += pa * (p[i][b] - out->p[b]);
                out->qq[k] += qa * (q[i][b] - out->q[b]);
            }
        }
    }
}

void clm_lattice_block_of_affine(clm_lattice_block *out, const double centre[3], const double size_um[3],
                                 const clm_affine *T, double n, double noise_um) {
    memset(out, 0, sizeof *out);
    out->n = n;
    memcpy(out->p, centre, sizeof out->p);
    clm_affine_apply(T, centre, out->q);
    for (int a = 0, k = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            double var = size_um[b] * size_um[b] / 12;
            out->qp[a][b] = n * T->m[a][b] * var;
            if (b < a) continue;
            out->pp[k] = a == b ? n * var : 0;
            /* an affine of its own takes up four of a match's errors a component */
            out->qq[k] = a == b && n > 4 ? (n - 4) * noise_um * noise_um : 0;
            for (int c = 0; c < 3; c++)
                out->qq[k] += n * T->m[a][c] * T->m[b][c] * size_um[c] * size_um[c] / 12;
            k++;
        }
}

void clm_lattice_pack(const clm_lattice_block *b, double out[CLM_LATTICE_NUMBERS]) {
    out[0] = b->n;
    memcpy(out + 1, b->p, sizeof b->p);
    memcpy(out + 4, b->q, sizeof b->q);
    memcpy(out + 7, b->pp, sizeof b->pp);
    memcpy(out + 13, b->qp, sizeof b->qp);
    memcpy(out + 22, b->qq, sizeof b->qq);
}

void clm_lattice_unpack(const double in[CLM_LATTICE_NUMBERS], clm_lattice_block *out) {
    out->n = in[0];
    memcpy(out->p, in + 1, sizeof out->p);
    memcpy(out->q, in + 4, sizeof out->q);
    memcpy(out->pp, in + 7, sizeof out->pp);
    memcpy(out->qp, in + 13, sizeof out->qp);
    memcpy(out->qq, in + 22, sizeof out->qq);
}
