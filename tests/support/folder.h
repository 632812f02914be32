/* One folder for all cases of a test program: give set_up and tear_down to cmocka_run_group_tests. */
#ifndef CLM_TESTS_FOLDER_H
#define CLM_TESTS_FOLDER_H

#include "support/temp.h"

static char folder[CLM_PATH_MAX];

static int set_up(void **state) {
    (void)state;
    clm_test_folder(folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    clm_test_folder_drop(folder);
    return 0;
}

#endif
