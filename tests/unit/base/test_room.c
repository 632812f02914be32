#include "collimate/base/room.h"
#include "collimate/base/file.h"
#include "support/near.h"
#include "support/temp.h"

#include <math.h>
#include <string.h>

typedef struct given {
    const char *file, *text;
} given;
typedef struct row {
    const char *name;
    given files[4];
    double want;
} row;

static const row rows[] = {
    {"version 2",
     {{"proc/self/cgroup", "0::/job/step\n"},
      {"sys/fs/cgroup/job/step/memory.max", "max\n"},
      {"sys/fs/cgroup/job/memory.max", "4096000\n"}},
     4096000},
    {"of two the lower",
     {{"proc/self/cgroup", "0::/job/step\n"},
      {"sys/fs/cgroup/job/step/memory.max", "2048000\n"},
      {"sys/fs/cgroup/job/memory.max", "4096000\n"}},
     2048000},
    {"the root of a container",
     {{"proc/self/cgroup", "0::/\n"}, {"sys/fs/cgroup/memory.max", "1024000\n"}},
     1024000},
    {"version 1",
     {{"proc/self/cgroup", "9:cpu:/x\n4:memory:/job\n0::/\n"},
      {"sys/fs/cgroup/memory/job/memory.limit_in_bytes", "3072000\n"},
      {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}},
     3072000},
    {"nonsense", {{"proc/self/cgroup", "no\n:\n::\n0::job\n4:memory:/a\n"}}, INFINITY},
    {"none", {{"proc/self/cgroup", "0::/job\n"}}, INFINITY},
};

static void the_least_limit_counts(void **state) {
    clm_err err = CLM_ERR_NONE;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char root[CLM_PATH_MAX], path[CLM_PATH_MAX], folder[CLM_PATH_MAX];
        clm_test_folder(root);
        for (int k = 0; k < 4 && rows[i].files[k].file; k++) {
            const given *g = &rows[i].files[k];
            assert_ok(clm_path_join(path, root, g->file, &err), err);
            strcpy(folder, path);
            *strrchr(folder, '/') = 0;
            assert_ok(clm_folder_make(folder, &err) &&
                          clm_file_publish(path, g->text, strlen(g->text), false, &err),
                      err);
        }
        double got = clm_room_bytes(root), machine = clm_room_bytes("/nowhere");
        print_message("%s\n", rows[i].name);
        assert_true(isfinite(machine) && machine > 0);
        assert_near(got, fmin(rows[i].want, machine), 0);
        clm_test_folder_drop(root);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_least_limit_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
