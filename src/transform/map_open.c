/* Transforms found on disk, as the steps of a map. */
#include "collimate/base/file.h"
#include "collimate/transform/foreign.h"
#include "collimate/transform/map.h"

#include <ctype.h>
#include <string.h>

#define AFFINE_BYTES_MAX ((size_t)1 << 20)
#define BETWEEN "::"

static bool affine_of_json(const char *path, clm_affine *out, clm_err *err) {
    clm_json *v = NULL;
    if (!clm_json_read(path, &v, err)) return false;
    const clm_json *rows = clm_json_get(v, "affine");
    bool ok = clm_json_size(rows) == 3 || clm_json_size(rows) == 4;
    for (int i = 0; ok && i < 3; i++) ok = clm_json_numbers(clm_json_at(rows, i), 4, out->m[i]);
    clm_json_free(v);
    return ok || clm_fail(err, CLM_E_FORMAT, "%s: affine: must be 3 rows of 4 numbers, z y x", path);
}

/* The next number of a text, which ends at a blank, comma or comment; false at the end of it or on junk. */
static bool next_number(char **at, double *out, int *line) {
    char *p = *at;
    for (;; p++) {
        if (*p == '#')
            while (*p && *p != '\n') p++;
        if (*p == '\n') ++*line;
        if (!isspace((unsigned char)*p) && *p != ',') break;
    }
    char *end = p, was;
    while (*end && !isspace((unsigned char)*end) && *end != ',' && *end != '#') end++;
    was = *end;
    *end = 0;
    bool ok = end > p && clm_text_real(p, out);
    *end = was;
    *at = ok ? end : p;
    return ok;
}

static bool affine_of_text(const char *path, clm_affine *out, clm_err *err) {
    clm_buf b = {0};
    double v[17];
    int n = 0, line = 1;
    if (!clm_file_read(path, AFFINE_BYTES_MAX, &b, err)) return false;
    char *at = (char *)b.data;
    while (n < 17 && next_number(&at, &v[n], &line)) n++;
    bool ok = true;
    if (n < 17 && *at) ok = clm_fail(err, CLM_E_FORMAT, "%s:%d: \"%.20s\" is not a number", path, line, at);
    if (ok && n != 12 && n != 16)
        ok = clm_fail(err, CLM_E_FORMAT, "%s: %d numbers; an affine has 3 x 4 or 4 x 4 (z y x, micrometres)",
                      path, n);
    if (ok && n == 16 && !(v[12] == 0 && v[13] == 0 && v[14] == 0 && v[15] == 1))
        ok = clm_fail(err, CLM_E_FORMAT, "%s: the last of 4 rows must be 0 0 0 1", path);
    if (ok) memcpy(out->m, v, sizeof out->m);
    clm_buf_free(&b);
    return ok;
}

/* numbers as a matrix: in the order and unit that were said */
static bool add_file(clm_map *map, const char *path, const clm_field_hint *hint, clm_err *err) {
    clm_affine a, told;
    if (clm_text_ends(path, ".json"))
        return affine_of_json(path, &a, err) && clm_map_add_affine(map, &a, err);
    if (!affine_of_text(path, &told, err)) return false;
    a = told;
    for (int i = 0; i < 3 && hint->x_first; i++)
        for (int k = 0; k < 4; k++) a.m[i][k] = told.m[2 - i][k < 3 ? 2 - k : 3];
    for (int i = 0; i < 3 && hint->um_per_unit > 0; i++) a.m[i][3] *= hint->um_per_unit;
    return clm_map_add_affine(map, &a, err);
}

/* STORE::SOURCE::TARGET */
static bool add_between(clm_map *map, const char *path, bool back, clm_err *err) {
    char part[CLM_PATH_MAX];
    if (!clm_path_format(part, err, "%s", path)) return false;
    char *source = strstr(part, BETWEEN), *target = strstr(source + strlen(BETWEEN), BETWEEN);
    if (!target) return clm_fail(err, CLM_E_ARG, "%s: must be STORE::SOURCE::TARGET", path);
    *source = *target = 0;
    return clm_map_add_scene(map, part, source + strlen(BETWEEN), target + strlen(BETWEEN), back, err);
}

/* *turned: what was added leads back, as it was asked for */
static bool add_path(clm_map *map, const clm_said *said, bool back, bool *turned, clm_err *err) {
    const char *path = said->path;
    char job[CLM_PATH_MAX], scene[CLM_PATH_MAX], meta[CLM_PATH_MAX];
    clm_path_kind kind = clm_path_kind_of(path);
    bool known;
    *turned = back;
    if (kind == CLM_PATH_NONE && strstr(path, BETWEEN)) return add_between(map, path, back, err);
    *turned = false;
    if (!clm_foreign_open(said, map, &known, err)) return false;
    if (known) return true;
    if (kind == CLM_PATH_NONE) return clm_fail(err, CLM_E_NOTFOUND, "%s: no such transform", path);
    if (kind != CLM_PATH_FOLDER) return add_file(map, path, &said->hint, err);
    if (!clm_path_join(job, path, "job.json", err) || !clm_path_join(scene, path, CLM_RUN_TRANSFORM, err) ||
        !clm_path_join(meta, scene, "zarr.json", err))
        return false;
    *turned = back;
    if (clm_path_kind_of(job) != CLM_PATH_FILE) return clm_map_add_scene(map, path, NULL, NULL, back, err);
    if (clm_path_kind_of(meta) != CLM_PATH_FILE)
        return clm_fail(
            err, CLM_E_NOTFOUND,
            "%s: a run that is not finished: it has no transform yet; collimate status tells more", path);
    return clm_map_add_scene(map, scene, NULL, NULL, back, err) ||
           clm_err_in(err, "%s: is the run finished?", path);
}

/* One path's steps, turned round where asked for. */
static bool open_one(const char *path, bool back, clm_cache *cache, clm_map *out, clm_err *err) {
    clm_said said;
    bool turned;
    *out = (clm_map){.cache = cache};
    if (!clm_said_parse(path, &said, err)) return clm_err_in(err, "%s", path);
    back ^= said.inverse;
    bool ok = add_path(out, &said, back, &turned, err);
    if (ok && back != turned) ok = clm_map_turn(out, err) || clm_err_in(err, "%s", path);
    clm_said_free(&said);
    return ok;
}

static bool open_chain(const char *const *paths, int n, bool back, size_t cache_bytes, clm_map *out,
                       clm_err *err) {
    memset(out, 0, sizeof *out);
    bool ok = cache_bytes == 0 || clm_cache_open(cache_bytes, &out->cache, err);
    for (int i = 0; ok && i < n; i++) {
        clm_map one;
        ok = open_one(paths[back ? n - 1 - i : i], back, out->cache, &one, err) &&
             clm_map_append(out, &one, err);
        if (i == 0) out->fixed = one.fixed;
        out->moving = one.moving;
        one.cache = NULL; /* the chain's */
        clm_map_close(&one);
    }
    if (!ok) clm_map_close(out);
    return ok;
}

bool clm_map_open(const char *const *paths, int n, size_t cache_bytes, clm_map *out, clm_err *err) {
    return open_chain(paths, n, false, cache_bytes, out, err);
}

bool clm_map_open_stored_back(const char *const *paths, int n, size_t cache_bytes, clm_map *out, bool *stored,
                              clm_err *err) {
    *stored = false;
    if (!open_chain(paths, n, true, cache_bytes, out, err)) return false;
    bool fields = false, solved = false;
    for (int i = 0; i < out->n; i++) {
        fields |= out->step[i].kind != CLM_STEP_AFFINE;
        solved |= out->step[i].kind == CLM_STEP_FIELD_BACK;
    }
    *stored = fields && !solved;
    if (!*stored) clm_map_close(out);
    return true;
}
