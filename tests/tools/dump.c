/* dump PATH [DATASET]: the array's bytes on stdout; for the conformance runner. */
#include "collimate/base/text.h"
#include "collimate/store/array.h"

#include <stdio.h>

int main(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_array *a = NULL;
    char path[CLM_PATH_MAX];
    bool ok = argc >= 2 &&
              clm_path_format(path, &err, "%s%s%s", argv[1], argc > 2 ? "/" : "", argc > 2 ? argv[2] : "");
    ok = ok && clm_array_open(path, &a, &err) && clm_array_dump(a, 1, 0, 2, &err);
    clm_array_close(a);
    if (!ok) (void)fprintf(stderr, "dump: %s\n", argc < 2 ? "usage: dump PATH [DATASET]" : err.text);
    return ok ? 0 : 3;
}
