#include "collimate/app/commands.h"
#include "collimate/base/clock.h"
#include "collimate/base/text.h"
#include "collimate/job/point_table.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate points T IN.csv OUT.csv [--direction forward|inverse] [OPTIONS]\n\n"
    "Points through the transform T, with the same interpolation as images. Columns z, y, x (micrometres) are\n"
    "found by name, replaced, and everything else is carried through; a column `status` is added:\n"
    "  inside         on the grid at the other end\n"
    "  extrapolated   beyond the displacement field, which keeps its border's value\n"
    "  outside        no voxel there\n"
    "  not_converged  inverse only: the residual is above the tolerance\n"
    "T is what `collimate apply` takes; several, T1 T2 ..., are a chain. IN or OUT may be - (a pipe).\n\n"
    "  --direction NAME    forward (default): fixed -> moving, as stored; inverse: moving -> fixed, solved;\n"
    "                      adds a column residual_um, |T(x) - y|\n"
    "  --tolerance-um X    of the inverse (default 0.001)\n"
    "  --columns Z,Y,X     names of the columns (default z,y,x)\n"
    "  --cache-mib N       decoded chunks of the field (256);  --batch N  points at a time (262144)\n"
    "  -q, --quiet  -h, --help\n\n"
    "Examples:\n"
    "  collimate points out spots.csv spots_in_moving.csv\n"
    "  collimate points out cells.csv cells_in_fixed.csv --direction inverse\n"
    "  collimate points out/affine.txt spots.csv - --columns pz,py,px | head\n\n"
    "Exit codes: 0 done; 1 done, but points did not converge; 2 usage; 3 input; 4 output.\n";

typedef struct options {
    clm_point_table table;
    const char **transforms;
    int n_transforms;
    int64_t cache_mib;
    char columns[300];
    bool help, quiet;
} options;

enum { DIRECTION = 256, TOLERANCE, COLUMNS, CACHE, BATCH };
static const struct option longs[] = {{"direction", required_argument, NULL, DIRECTION},
                                      {"tolerance-um", required_argument, NULL, TOLERANCE},
                                      {"columns", required_argument, NULL, COLUMNS},
                                      {"cache-mib", required_argument, NULL, CACHE},
                                      {"batch", required_argument, NULL, BATCH},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

/* "Z,Y,X" into three texts */
static bool set_columns(options *o, const char *text, clm_err *err) {
    if (strlen(text) < sizeof o->columns) {
        (void)snprintf(o->columns, sizeof o->columns, "%s", text);
        char *y = strchr(o->columns, ','), *x = y ? strchr(y + 1, ',') : NULL;
        if (x && !strchr(x + 1, ',') && x > y + 1 && y > o->columns && x[1]) {
            *y = *x = 0;
            o->table.column[0] = o->columns;
            o->table.column[1] = y + 1;
            o->table.column[2] = x + 1;
            return true;
        }
    }
    return clm_fail(err, CLM_E_ARG, "--columns %.80s: must be three names Z,Y,X", text);
}

static bool set_one(options *o, int option, const char *text, clm_err *err) {
    switch (option) {
    case DIRECTION:
        o->table.inverse = strcmp(text, "inverse") == 0;
        return o->table.inverse || strcmp(text, "forward") == 0 ||
               clm_fail(err, CLM_E_ARG, "--direction %s: must be forward or inverse", text);
    case TOLERANCE:
        return (clm_text_real(text, &o->table.tolerance_um) && o->table.tolerance_um > 0.0) ||
               clm_fail(err, CLM_E_ARG, "--tolerance-um %s: must be a number above 0", text);
    case COLUMNS: return set_columns(o, text, err);
    case CACHE:
        return (clm_text_int(text, &o->cache_mib) && o->cache_mib >= 1 && o->cache_mib <= 1 << 20) ||
               clm_fail(err, CLM_E_ARG, "--cache-mib %s: must be 1 .. 1048576", text);
    case BATCH:
        return (clm_text_int(text, &o->table.batch) && o->table.batch >= 1 && o->table.batch <= 1 << 24) ||
               clm_fail(err, CLM_E_ARG, "--batch %s: must be 1 .. 16777216", text);
    case 'q': return o->quiet = true;
    default: return o->help = true;
    }
}

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    int c;
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "hq", longs, NULL)) != -1) {
        if (c == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (!set_one(o, c, optarg, err)) return false;
    }
    if (!o->help && argc - optind < 3)
        return clm_fail(err, CLM_E_ARG, "wants a transform and two tables: T IN.csv OUT.csv; see --help");
    o->transforms = (const char **)argv + optind;
    o->n_transforms = argc - optind - 2;
    if (o->help) return true;
    o->table.in = argv[argc - 2];
    o->table.out = argv[argc - 1];
    return true;
}

static bool run(const options *o, clm_point_count *count, clm_err *err) {
    clm_work w = {.keep = NULL};
    clm_map map = {.n = 0};
    size_t budget = ((size_t)1 << 30) + (size_t)o->table.batch * 400;
    bool ok = clm_arena_open(budget, &w.keep, err) && clm_arena_open(budget, &w.temp, err) &&
              clm_map_open(o->transforms, o->n_transforms, (size_t)o->cache_mib << 20, &map, err) &&
              clm_point_table_run(&map, &o->table, &w, count, err);
    clm_map_close(&map);
    clm_arena_close(w.keep);
    clm_arena_close(w.temp);
    return ok;
}

int clm_cmd_points(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    options o = {.table = CLM_POINT_TABLE_DEFAULTS, .cache_mib = 256};
    clm_point_count n;
    if (!parse(argc, argv, &o, &err)) return clm_command_fails("points", &err);
    if (o.help) {
        (void)fputs(help, stdout);
        return CLM_EXIT_DONE;
    }
    double begin = clm_clock_s();
    if (!run(&o, &n, &err)) return clm_command_fails("points", &err);
    double seconds = clm_clock_s() - begin;
    if (!o.quiet)
        (void)fprintf(stderr, "%lld points, %lld extrapolated, %lld outside, %lld not converged, %.3g/s\n",
                      (long long)n.points, (long long)n.extrapolated, (long long)n.outside,
                      (long long)n.unsolved, (double)n.points / seconds);
    if (!o.quiet && o.table.inverse) (void)fprintf(stderr, "largest residual %.3g um\n", n.worst_um);
    return n.unsolved ? CLM_EXIT_BLOCKS_FAILED : CLM_EXIT_DONE;
}
