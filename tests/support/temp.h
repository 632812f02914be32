/* A folder of its own for a test, and arenas, both gone at the end. */
#ifndef CLM_TESTS_TEMP_H
#define CLM_TESTS_TEMP_H

#include "collimate/base/text.h"
#include "collimate/base/work.h"

/** A new empty folder under $TMPDIR or /tmp; abort on failure. */
void clm_test_folder(char out[CLM_PATH_MAX]);
void clm_test_folder_drop(const char *path);
/** Two arenas of `mib` MiB each; abort on failure. */
clm_work clm_test_work(size_t mib);
void clm_test_work_drop(clm_work *w);

#endif
