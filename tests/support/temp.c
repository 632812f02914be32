#include "support/temp.h"
#include "collimate/base/file.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool ok, const clm_err *err) {
    if (ok) return;
    (void)fprintf(stderr, "test set-up: %s\n", err->text);
    abort();
}

void clm_test_folder(char out[CLM_PATH_MAX]) {
    clm_err err = CLM_ERR_NONE;
    const char *tmp = getenv("TMPDIR");
    must(clm_path_format(out, &err, "%s/collimate-test-XXXXXX", tmp ? tmp : "/tmp"), &err);
    if (!mkdtemp(out)) abort();
}

void clm_test_folder_drop(const char *path) {
    clm_err err = CLM_ERR_NONE;
    must(clm_folder_remove(path, &err), &err);
}

clm_work clm_test_work(size_t mib) {
    clm_err err = CLM_ERR_NONE;
    clm_work w = {.seed = 1};
    must(clm_arena_open(mib << 20, &w.keep, &err), &err);
    must(clm_arena_open(mib << 20, &w.temp, &err), &err);
    return w;
}

void clm_test_work_drop(clm_work *w) {
    clm_arena_close(w->keep);
    clm_arena_close(w->temp);
}
