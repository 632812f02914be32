/* A transformation and its stored inverse as one, OME-Zarr's bijection, and whether the two still belong together. */
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/store/node.h"
#include "collimate/transform/transform.h"

#include <stdio.h>
#include <string.h>

#define MADE_OF "x_inverse_of" /* beside "ome": what the inverse was made of */

static bool is_type(const clm_json *v, const char *type) {
    const char *text = clm_json_text(clm_json_get(v, "type"));
    return text && strcmp(text, type) == 0;
}

static const clm_json *forth_of(const clm_json *v) {
    return is_type(v, "bijection") ? clm_json_get(v, "forward") : v;
}

static const clm_json *first_of(const clm_json *attrs) {
    const clm_json *scene = clm_json_get(clm_json_get(attrs, "ome"), "scene");
    return clm_json_first(clm_json_get(scene, "coordinateTransformations"));
}

/* ---- what it was made of ---- */

#define HEAD_BYTES ((size_t)64 << 10)
#define FILES_ALL 512 /* of a field that are looked into; of later ones each LATER-th */
#define FILES_LATER 64

/* names, and the first bytes: times and places change when a store is copied */
static bool digest_files(const char *path, int *seen, uint64_t *h, clm_err *err) {
    char at[CLM_PATH_MAX];
    clm_names names = {0};
    clm_buf b = {0};
    bool ok = clm_folder_list(path, &names, err);
    for (int64_t i = 0; ok && i < (int64_t)names.n; i++) {
        if (names.name[i][0] == '.') continue;
        ok = clm_path_join(at, path, names.name[i], err);
        *h = clm_hash64(*h, names.name[i], strlen(names.name[i]));
        if (ok && clm_path_kind_of(at) == CLM_PATH_FOLDER) {
            ok = digest_files(at, seen, h, err);
        } else if (ok && (++*seen <= FILES_ALL || *seen % FILES_LATER == 0)) {
            ok = clm_file_head(at, HEAD_BYTES, &b, err);
            if (ok) *h = clm_hash64(*h, b.data, b.n);
        }
    }
    clm_buf_free(&b);
    clm_names_free(&names);
    return ok;
}

/* the fields and matrices in folders that a transformation names, however deep */
static bool digest_paths(const char *group, const clm_json *v, int *seen, uint64_t *h, clm_err *err) {
    char below[CLM_PATH_MAX], path[CLM_PATH_MAX];
    for (const clm_json *k = clm_json_first(v); k; k = clm_json_next(k)) {
        const char *key = clm_json_key(k), *text = clm_json_text(k);
        if (text && key && strcmp(key, "path") == 0) {
            if (!clm_node_below(below, "", text, err) || !clm_path_join(path, group, below, err) ||
                !digest_files(path, seen, h, err))
                return false;
        } else if (!text && !digest_paths(group, k, seen, h, err)) {
            return false;
        }
    }
    return true;
}

static bool digest_of(const char *group, const clm_json *forth, char digest[17], clm_err *err) {
    clm_buf b = {0};
    uint64_t h = CLM_HASH_BEGIN;
    int seen = 0;
    bool ok = clm_json_print(forth, false, &b, err);
    if (ok) h = clm_hash64(h, b.data, b.n);
    clm_buf_free(&b);
    ok = ok && digest_paths(group, forth, &seen, &h, err);
    (void)snprintf(digest, 17, "%016llx", (unsigned long long)h);
    return ok;
}

bool clm_ome_inverse_holds(const char *group, const clm_json *attrs, const clm_json *v, clm_err *err) {
    char now[17];
    const char *then = clm_json_text(clm_json_get(attrs, MADE_OF));
    if (!then || !is_type(v, "bijection") || v != first_of(attrs)) return true; /* nobody tells */
    if (!digest_of(group, forth_of(v), now, err)) return false;
    return strcmp(then, now) == 0 ||
           clm_fail(
               err, CLM_E_FORMAT,
               "%s: the stored inverse was made of another field or affine than there is now; remove %s and "
               "let collimate invert --store make it anew, or let it be solved (points --tolerance-um)",
               group, CLM_SCENE_INVERSE);
}

/* ---- both as one ---- */

/* the keys of `from` but those named; false: memory is out */
static bool copy_keys(clm_json *to, const clm_json *from, const char *const *but, clm_err *err) {
    for (const clm_json *v = clm_json_first(from); v; v = clm_json_next(v)) {
        bool skip = false;
        for (int i = 0; but && but[i]; i++) skip |= strcmp(but[i], clm_json_key(v)) == 0;
        clm_json *copy = skip ? NULL : clm_json_copy(v, err);
        if (skip) continue;
        if (!copy || !clm_json_put(to, clm_json_key(v), copy)) return false;
    }
    return true;
}

/* a sequence, its paths now from one folder further up */
static bool add_sequence(clm_json *parent, const char *key, const clm_json *t, const char *below,
                         clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *sequence = clm_json_add_object(parent, key);
    clm_json_add_text(sequence, "type", "sequence");
    clm_json *list = clm_json_add_list(sequence, "transformations");
    for (const clm_json *v = clm_json_first(clm_json_get(t, "transformations")); v; v = clm_json_next(v)) {
        static const char *const but[] = {"path", NULL};
        const char *at = clm_json_text(clm_json_get(v, "path"));
        clm_json *step = clm_json_add_object(list, NULL);
        if (!copy_keys(step, v, but, err)) return false;
        if (!at) continue;
        if (!clm_path_format(path, err, "%s/%s", below, at)) return false;
        clm_json_add_text(step, "path", path);
    }
    return true;
}

/* forth: any transformation, as it is but for its ends; back: what `invert` wrote, a sequence */
static bool make_pair(const clm_json *old, const clm_json *back, const char *below, clm_json *list,
                      clm_err *err) {
    static const char *const ends[] = {"input", "output", "name"}, *const but[] = {"input", "output", "name",
                                                                                   NULL};
    const clm_json *forth = forth_of(old);
    if (!is_type(back, "sequence"))
        return clm_fail(err, CLM_E_FORMAT, "%s: the inverse is no sequence", below);
    clm_json *pair = clm_json_add_object(list, NULL);
    clm_json_add_text(pair, "type", "bijection");
    for (int k = 0; k < 3; k++) {
        const clm_json *end = clm_json_get(old, ends[k]);
        clm_json *copy = end ? clm_json_copy(end, err) : NULL;
        if (end && (!copy || !clm_json_put(pair, ends[k], copy))) return false;
    }
    if (!copy_keys(clm_json_add_object(pair, "forward"), forth, but, err) ||
        !add_sequence(pair, "inverse", back, below, err))
        return false;
    for (const clm_json *v = clm_json_next(old); v; v = clm_json_next(v))
        if (!copy_keys(clm_json_add_object(list, NULL), v, NULL, err)) return false;
    return true;
}

bool clm_ome_store_inverse(const char *scene, const char *below, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_json *attrs = NULL, *inverse = NULL, *made = NULL;
    bool ok = clm_path_join(path, scene, below, err) && clm_node_attrs(scene, &attrs, err) &&
              clm_node_attrs(path, &inverse, err) && (made = clm_json_new_object(err)) != NULL;
    if (ok) {
        static const char *const ome_but[] = {"scene", NULL},
                                 *const scene_but[] = {"coordinateTransformations", NULL},
                                 *const but[] = {"ome", MADE_OF, NULL};
        char digest[17] = "";
        const clm_json *old = clm_json_get(attrs, "ome");
        clm_json *ome = NULL, *to = NULL;
        ok = copy_keys(made, attrs, but, err) &&
             copy_keys(ome = clm_json_add_object(made, "ome"), old, ome_but, err) &&
             copy_keys(to = clm_json_add_object(ome, "scene"), clm_json_get(old, "scene"), scene_but, err) &&
             make_pair(first_of(attrs), first_of(inverse), below,
                       clm_json_add_list(to, "coordinateTransformations"), err) &&
             digest_of(scene, forth_of(first_of(made)), digest, err);
        clm_json_add_text(made, MADE_OF, digest);
        ok = ok && clm_node_make_group(scene, CLM_FORMAT_ZARR3, made, err);
    }
    clm_json_free(attrs);
    clm_json_free(inverse);
    clm_json_free(made);
    return ok || clm_err_in(err, "%s", scene);
}
