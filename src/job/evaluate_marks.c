/* Landmarks: where the maps put the fixed points against the moving ones. */
#include "collimate/base/file.h"
#include "evaluate_parts.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define MOST_COLUMNS 64
#define WEIGHT 6 /* behind the six coordinates; optional */
#define MOST_BYTES ((size_t)1 << 30)

/* One line cut at commas, semicolons or tabs, or at blanks when it has none of them; quotes and blanks around a
 * value are taken off. */
static int cut(char *line, char *word[MOST_COLUMNS]) {
    const char *between = strpbrk(line, ",;\t") ? ",;\t" : " ";
    int n = 0;
    for (char *p = line, *next; *p && n < MOST_COLUMNS; p = next) {
        char *end = p + strcspn(p, between);
        next = *end ? end + 1 : end;
        while (p < end && (*p == ' ' || *p == '"')) p++;
        while (end > p && (end[-1] == ' ' || end[-1] == '"')) end--;
        *end = 0;
        if (*between == ' ' && !*p) continue; /* several blanks are one */
        word[n++] = p;
    }
    return n;
}

/* "Fixed_Z (um)" -> 0 ... "mx" -> 5, "weight" -> 6; -1: none of them */
static int column_of(const char *name) {
    char bare[32];
    size_t n = 0;
    for (; *name && n + 1 < sizeof bare; name++)
        if (isalpha((unsigned char)*name)) bare[n++] = (char)tolower((unsigned char)*name);
    bare[n] = 0;
    if (strcmp(bare, "weight") == 0) return WEIGHT;
    for (int k = 0; k < 6; k++) {
        const char axis = "zyx"[k % 3];
        const char *side = k < 3 ? "fixed" : "moving";
        size_t m = strlen(side);
        if (strncmp(bare, side, m) == 0 && bare[m] == axis && (!bare[m + 1] || !strcmp(bare + m + 1, "um")))
            return k;
        if (bare[0] == side[0] && bare[1] == axis && (!bare[2] || !strcmp(bare + 2, "um"))) return k;
    }
    return -1;
}

static bool is_head(char *word[], int n) {
    for (int i = 0; i < n; i++)
        if (column_of(word[i]) >= 0) return true;
    return false;
}

static bool read_head(const char *path, char *word[], int n, int column[7], clm_err *err) {
    static const char *const names[6] = {"fixed_z", "fixed_y", "fixed_x", "moving_z", "moving_y", "moving_x"};
    for (int k = 0; k < 7; k++) column[k] = -1;
    for (int i = 0; i < n; i++) {
        int k = column_of(word[i]);
        if (k >= 0) column[k] = i;
    }
    for (int k = 0; k < 6; k++)
        if (column[k] < 0) return clm_fail(err, CLM_E_FORMAT, "%s: no column %s", path, names[k]);
    return true;
}

static bool read_pair(const char *path, int64_t line, char *word[], int n, const int column[7], double v[7],
                      clm_err *err) {
    for (int k = 0; k < 7; k++)
        if (column[k] >= 0 && (column[k] >= n || !clm_text_real(word[column[k]], &v[k])))
            return clm_fail(err, CLM_E_FORMAT, "%s: line %lld: want 6 numbers, fixed and moving z y x", path,
                            (long long)line);
    return true;
}

/* A row as BigWarp writes it, which has no head: name, is it used, moving x y z, fixed x y z. */
static bool is_bigwarp(char *word[], int n) {
    return n == 8 && (strcasecmp(word[1], "true") == 0 || strcasecmp(word[1], "false") == 0);
}

bool clm_landmarks_read(const clm_work *w, const char *path, clm_landmarks *out, clm_err *err) {
    clm_buf b = {0};
    int64_t lines = 1, at = 0;
    int column[7] = {0, 1, 2, 3, 4, 5, -1};
    bool warp = false;
    static const int bigwarp[7] = {7, 6, 5, 4, 3, 2, -1};
    memset(out, 0, sizeof *out);
    bool ok = clm_file_read(path, MOST_BYTES, &b, err);
    for (size_t i = 0; ok && i < b.n; i++) lines += b.data[i] == '\n';
    ok = ok && (out->fixed = clm_arena_take(w->keep, lines, sizeof *out->fixed, err)) != NULL &&
         (out->moving = clm_arena_take(w->keep, lines, sizeof *out->moving, err)) != NULL;
    for (char *p = (char *)b.data, *next; ok && p && *p; p = next) {
        char *word[MOST_COLUMNS], *end = p + strcspn(p, "\r\n");
        double v[7] = {0};
        next = *end ? end + 1 : end;
        *end = 0;
        at++;
        int n = cut(p, word);
        if (n == 0 || word[0][0] == '#') continue;
        if (out->n == 0 && is_head(word, n)) {
            ok = read_head(path, word, n, column, err);
            if (ok && column[WEIGHT] >= 0)
                ok = (out->weight = clm_arena_take(w->keep, lines, sizeof *out->weight, err)) != NULL;
            continue;
        }
        if (out->n == 0 && is_bigwarp(word, n)) warp = true;
        if (warp && n > 1 && strcasecmp(word[1], "false") == 0) continue;
        ok = read_pair(path, at, word, n, warp ? bigwarp : column, v, err);
        if (ok && out->weight) out->weight[out->n] = v[WEIGHT];
        if (ok)
            memcpy(out->fixed[out->n], v, 3 * sizeof *v), memcpy(out->moving[out->n++], v + 3, 3 * sizeof *v);
    }
    clm_buf_free(&b);
    if (ok && !out->n) return clm_fail(err, CLM_E_NODATA, "%s: no landmarks", path);
    return ok;
}

/* Points at a time through the map. */
#define BATCH ((int64_t)1 << 18)

static bool map_marks(const clm_evaluate *e, const clm_work *w, clm_judged which, int64_t n, double (*x)[3],
                      clm_err *err) {
    if (which == CLM_JUDGED_BEFORE) return true;
    if (which == CLM_JUDGED_AFFINE) {
        for (int64_t i = 0; i < n; i++) clm_affine_apply(&e->affine, x[i], x[i]);
        return true;
    }
    clm_mark mark = clm_arena_mark(w->keep);
    uint8_t *flags = clm_take(w->keep, uint8_t, BATCH, err);
    bool ok = flags != NULL;
    for (int64_t i = 0; ok && i < n; i += BATCH)
        ok = clm_map_points(&e->map, w, n - i < BATCH ? n - i : BATCH, x + i, flags, err);
    clm_arena_rewind(w->keep, mark);
    return ok;
}

bool clm_evaluate_marks(const clm_evaluate *e, const clm_work *w, const clm_landmarks *marks,
                        bool has[CLM_JUDGED_COUNT], clm_truth_error out[CLM_JUDGED_COUNT], clm_err *err) {
    clm_truth_points p = {.n = marks->n, .x = marks->fixed, .y = marks->moving};
    static const double unit[3] = {1, 1, 1};
    const double *spacing = e->fixed ? clm_image_info_of(e->fixed)->level[0].spacing_um : unit;
    double(*found)[3] = clm_arena_take(w->keep, p.n, sizeof *found, err);
    if (!found) return false;
    for (int k = 0; k < CLM_JUDGED_COUNT; k++) {
        has[k] = e->judged[k];
        if (!has[k]) continue;
        memcpy(found, p.x, (size_t)p.n * sizeof *found);
        if (!map_marks(e, w, (clm_judged)k, p.n, found, err) ||
            !clm_truth_compare(w, &p, found, spacing, &out[k], err))
            return false;
    }
    return true;
}
