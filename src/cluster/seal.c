#include "collimate/cluster/seal.h"
#include "collimate/base/file.h"

#include <stdio.h>
#include <string.h>

static bool publish(const char *folder, const char *name, int exit_code, clm_err *err) {
    char path[CLM_PATH_MAX], text[16];
    (void)snprintf(text, sizeof text, "%d\n", exit_code);
    return clm_path_join(path, folder, name, err) && clm_file_publish(path, text, strlen(text), true, err);
}

bool clm_seal_put(const char *folder, int exit_code, clm_err *err) {
    return clm_folder_sweep(folder, err) && clm_seal_begin(folder, err) && clm_file_sync_tree(folder, err) &&
           publish(folder, CLM_SEAL_NAME, exit_code, err);
}

bool clm_seal_stop(const char *folder, int exit_code, clm_err *err) {
    return publish(folder, CLM_SEAL_STOPPED, exit_code, err);
}

bool clm_seal_begin(const char *folder, clm_err *err) {
    char path[CLM_PATH_MAX];
    if (!clm_path_join(path, folder, CLM_SEAL_STOPPED, err)) return false;
    return clm_path_kind_of(path) == CLM_PATH_NONE || clm_file_remove(path, err);
}
