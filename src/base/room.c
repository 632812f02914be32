#include "collimate/base/room.h"
#include "collimate/base/file.h"
#include "collimate/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* files of the kernel's, which have no length */
static bool read_line(FILE *f, char *line, size_t n) {
    if (!fgets(line, (int)n, f)) return false;
    line[strcspn(line, "\n")] = 0;
    return true;
}

static double number_in(const char *path) {
    char line[64] = "";
    int64_t n;
    FILE *f = fopen(path, "re"); /* allow: not a regular file */
    if (!f) return INFINITY;
    bool ok = read_line(f, line, sizeof line) && clm_text_int(line, &n) && n > 0;
    (void)fclose(f);
    return ok ? (double)n : INFINITY; /* "max": none */
}

/* of a group and those above it, as far as they can be seen from here */
static double group_bytes(const char *root, const char *mount, const char *group, const char *file) {
    char at[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_err err;
    double least = INFINITY;
    if (!clm_path_format(at, &err, "%s", group)) return least;
    for (;;) {
        char *slash = strrchr(at, '/');
        if (clm_path_format(path, &err, "%s%s%s/%s", root, mount, at[1] ? at : "", file))
            least = fmin(least, number_in(path));
        if (!slash || !at[1]) return least;
        slash[slash == at] = 0; /* up to "/" */
    }
}

/* lines "0::/group" (version 2) and "N:memory:/group" (version 1) */
static double groups_bytes(const char *root) {
    char path[CLM_PATH_MAX], line[CLM_PATH_MAX];
    clm_err err;
    double least = INFINITY;
    if (!clm_path_format(path, &err, "%s/proc/self/cgroup", root)) return least;
    FILE *f = fopen(path, "re"); /* allow: not a regular file */
    if (!f) return least;
    while (read_line(f, line, sizeof line)) {
        char *kind = strchr(line, ':'), *group = kind ? strchr(kind + 1, ':') : NULL;
        if (!group || group[1] != '/') continue;
        *group++ = 0;
        if (strcmp(kind, ":") == 0) {
            least = fmin(least, group_bytes(root, "/sys/fs/cgroup", group, "memory.max"));
            least = fmin(least, group_bytes(root, "/sys/fs/cgroup/unified", group, "memory.max"));
        } else if (strcmp(kind, ":memory") == 0) {
            least = fmin(least, group_bytes(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
        }
    }
    (void)fclose(f);
    return least;
}

double clm_room_bytes(const char *root) {
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    return fmin(machine > 0 ? machine : INFINITY, groups_bytes(root));
}
