#include "collimate/job/record.h"
#include "collimate/base/file.h"

#include <stdio.h>
#include <string.h>

static bool record_path(const clm_record *r, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(path, err, "%s/" CLM_RECORD_FOLDER "/%s", r->out, r->name);
}

static bool is_hash(const clm_json *about, const char *key, uint64_t want) {
    char text[32];
    const char *have = clm_json_text(clm_json_get(about, key));
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)want);
    return have && strcmp(have, text) == 0;
}

static bool same_record(const clm_record *r, const char *path, clm_err *err) {
    clm_json *v = NULL;
    if (!clm_json_read(path, &v, err)) return false;
    const clm_json *about = clm_json_get(v, "collimate");
    bool plan = is_hash(about, "plan", r->plan), inputs = is_hash(about, "inputs", r->inputs);
    clm_json_free(v);
    if (!plan)
        return clm_fail(err, CLM_E_ARG,
                        "%s: was made by another command (other transform, input or options, see %s/%s); "
                        "give another output, or remove it",
                        r->out, CLM_RECORD_FOLDER, r->name);
    return inputs ||
           clm_fail(err, CLM_E_ARG,
                    "%s: the transform's or the input's files have changed since it was begun; give "
                    "another output, or remove it to begin anew",
                    r->out);
}

/* the folder as a launch leaves it that was killed while it prepared: our own folder and arrays, no record yet */
static bool half_made(const char *path, bool *mine, clm_err *err) {
    clm_names names;
    if (!clm_folder_list(path, &names, err)) return false;
    bool ours = names.n == 0;
    for (int64_t i = 0; i < names.n; i++) ours |= strcmp(names.name[i], CLM_RECORD_FOLDER) == 0;
    clm_names_free(&names);
    *mine = ours;
    return true;
}

bool clm_record_is_there(const clm_record *r) {
    char path[CLM_PATH_MAX];
    clm_err none;
    return record_path(r, path, &none) && clm_path_kind_of(path) == CLM_PATH_FILE;
}

bool clm_record_check(const clm_record *r, bool *fresh, clm_err *err) {
    char path[CLM_PATH_MAX];
    bool mine = true;
    if (!record_path(r, path, err)) return false;
    clm_path_kind kind = clm_path_kind_of(r->out);
    if (kind != CLM_PATH_NONE && kind != CLM_PATH_FOLDER)
        return clm_fail(err, CLM_E_WRITE, "%s: stands in the way of the output", r->out);
    *fresh = !clm_record_is_there(r);
    if (!*fresh) return same_record(r, path, err);
    if (kind == CLM_PATH_FOLDER && !half_made(r->out, &mine, err)) return false;
    return mine || clm_fail(err, CLM_E_ARG,
                            "%s: is not empty and not made by this command; give another output", r->out);
}

bool clm_record_write(const clm_record *r, const clm_json *command, clm_err *err) {
    char path[CLM_PATH_MAX], hash[32];
    clm_buf b = {0};
    if (!record_path(r, path, err) || !clm_file_sync_tree(r->out, err)) return false;
    clm_json *v = clm_json_copy(command, err);
    if (!v) return false;
    clm_json *about = clm_json_add_object(v, "collimate");
    clm_json_add_text(about, "version", CLM_VERSION);
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->plan);
    clm_json_add_text(about, "plan", hash);
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->inputs);
    clm_json_add_text(about, "inputs", hash);
    bool ok = clm_json_print(v, true, &b, err) && clm_file_publish(path, b.data, b.n, true, err);
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}
