#include "collimate/cluster/seal.h"
#include "collimate/base/file.h"

#include <stdio.h>
#include <string.h>

bool clm_seal_put(const char *folder, int exit_code, clm_err *err) {
    char path[CLM_PATH_MAX], text[16];
    (void)snprintf(text, sizeof text, "%d\n", exit_code);
    return clm_path_join(path, folder, CLM_SEAL_NAME, err) && clm_folder_sweep(folder, err) &&
           clm_file_sync_tree(folder, err) && clm_file_publish(path, text, strlen(text), true, err);
}
