#include "collimate/app/commands.h"
#include "collimate/app/launch.h"
#include "collimate/base/clock.h"
#include "collimate/base/file.h"
#include "collimate/job/points_run.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate points T IN.csv OUT.csv [--direction forward|inverse] [OPTIONS]\n"
    "       mpirun -n N collimate points T IN.csv OUT.csv ...\n\n"
    "Points through the transform T, with the same interpolation as images. Columns z, y, x (micrometres) are\n"
    "found by name, replaced, and everything else is carried through; a column `status` is added:\n"
    "  inside         on the grid at the other end\n"
    "  extrapolated   beyond the displacement field, which keeps its border's value\n"
    "  outside        no voxel there\n"
    "  not_converged  inverse only: the residual is above the tolerance\n"
    "T is what `collimate apply` takes; several, T1 T2 ..., are a chain. IN or OUT may be - (a pipe), with one rank\n"
    "and one thread. IN may also be a point list of elastix (transformix -def: \"point\" or \"index\"; mm, x y z) or its\n"
    "outputpoints.txt; OUT is then a list, too, unless it is called .csv or .tsv. Order and bytes of OUT are the same\n"
    "for any number of ranks and threads.\n\n"
    "  --direction NAME    forward (default): fixed -> moving, as stored; inverse: moving -> fixed, by the inverse that\n"
    "                      T stores (collimate invert --store), else solved; adds a column residual_um, |T(x) - y|\n"
    "  --tolerance-um X    solve the inverse to this (0.001), also where one is stored\n"
    "  --columns Z,Y,X     names of the columns (default z,y,x)\n"
    "  --list              of a table, too, OUT is a list as elastix reads it: points alone\n"
    "  --like PATH[:LEVEL] the image whose voxels an \"index\" list counts (default: the grid that T records)\n"
    "  --cache-mib N       decoded chunks of the field (256);  --batch N  points at a time (262144)\n"
    "  --threads N         compute threads a rank (1; under mpirun the rank's share of the cores)\n"
    "  --part-mib N        of IN that a rank or thread takes at a time (32)\n"
    "  --local N           N ranks as threads of this process\n"
    "  -q, --quiet  -v, --verbose  -h, --help\n\n"
    "Examples:\n"
    "  collimate points out spots.csv spots_in_moving.csv\n"
    "  collimate points out cells.csv cells_in_fixed.csv --direction inverse\n"
    "  collimate points out/affine.txt spots.csv - --columns pz,py,px | head\n"
    "  collimate points out elastix_points.txt moved.txt         # and transformix -def moved.txt goes on\n"
    "  collimate points 0GenericAffine.mat spots.csv out.csv     # ITK, ANTs; docs/foreign_transforms.md\n"
    "  mpirun -n 16 collimate points out all_spots.csv all_in_moving.csv\n\n"
    "Exit codes: 0 done; 1 done, but points did not converge; 2 usage; 3 input; 4 output.\n";

typedef struct options {
    clm_points_spec spec;
    char columns[300];
    clm_args args;
} options;

/* "Z,Y,X" into three texts */
static bool set_columns(void *to, const char *name, const char *text, clm_err *err) {
    options *o = to;
    if (strlen(text) < sizeof o->columns) {
        (void)snprintf(o->columns, sizeof o->columns, "%s", text);
        char *y = strchr(o->columns, ','), *x = y ? strchr(y + 1, ',') : NULL;
        if (x && !strchr(x + 1, ',') && x > y + 1 && y > o->columns && x[1]) {
            *y = *x = 0;
            o->spec.table.column[0] = o->columns;
            o->spec.table.column[1] = y + 1;
            o->spec.table.column[2] = x + 1;
            return true;
        }
    }
    return clm_fail(err, CLM_E_ARG, "--%s %.80s: must be three names Z,Y,X", name, text);
}

static bool set_direction(void *to, const char *name, const char *text, clm_err *err) {
    bool *inverse = to;
    *inverse = strcmp(text, "inverse") == 0;
    return *inverse || strcmp(text, "forward") == 0 ||
           clm_fail(err, CLM_E_ARG, "--%s %s: must be forward or inverse", name, text);
}

static bool parse(int argc, char **argv, options *o, clm_err *err) {
    clm_points_spec *s = &o->spec;
    int64_t part_mib = 0;
    const clm_arg table[] = {
        CLM_OPT("direction", CALL, &s->table.inverse, .set = set_direction),
        CLM_OPT("tolerance-um", REAL, &s->table.tolerance_um, .above = true, .given = &s->solve),
        CLM_OPT("columns", CALL, o, .set = set_columns),
        CLM_OPT("list", ON, &s->table.list),
        CLM_OPT("like", LEVEL, &s->like, .level = &s->like_level),
        CLM_OPT("cache-mib", WHOLE, &s->cache_mib, .least = 1, .most = 1 << 20),
        CLM_OPT("batch", WHOLE, &s->table.batch, .least = 1, .most = 1 << 24),
        CLM_OPT("threads", WHOLE, &s->threads, .least = 1, .most = 1024),
        CLM_OPT("part-mib", WHOLE, &part_mib, .least = 1, .most = 1 << 20),
        CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, &o->args, err)) return false;
    if (o->args.help) return true;
    if (part_mib) s->part_bytes = part_mib << 20;
    int n = o->args.n_rest - 2;
    if (n < 1)
        return clm_fail(err, CLM_E_ARG, "wants a transform and two tables: T IN.csv OUT.csv; see --help");
    if (n > CLM_POINTS_TRANSFORMS_MAX)
        return clm_fail(err, CLM_E_ARG, "%d transforms; at most %d", n, CLM_POINTS_TRANSFORMS_MAX);
    for (int i = 0; i < n; i++) s->transforms[s->n_transforms++] = o->args.rest[i];
    s->table.in = o->args.rest[n];
    s->table.out = o->args.rest[n + 1];
    return true;
}

/* ---- alone ---- */

static size_t arena_bytes(const clm_points_spec *s) {
    return ((size_t)1 << 30) + (size_t)s->table.batch * 400;
}

static bool run_alone(clm_points_spec *s, clm_point_count *count, clm_err *err) {
    clm_work w = {.keep = NULL};
    clm_map map = {.n = 0}, back = {.n = 0};
    bool ok = clm_arena_open(arena_bytes(s), &w.keep, err) && clm_arena_open(arena_bytes(s), &w.temp, err) &&
              clm_points_open_maps(s, &map, &back, err) &&
              clm_point_table_run(&map, &s->table, &w, count, err);
    clm_map_close(&map);
    clm_map_close(&back);
    clm_arena_close(w.keep);
    clm_arena_close(w.temp);
    return ok;
}

static void tell_count(const clm_points_spec *s, const clm_point_count *n, double seconds) {
    (void)fprintf(stderr, "%lld points, %lld extrapolated, %lld outside, %lld not converged, %.3g/s\n",
                  (long long)n->points, (long long)n->extrapolated, (long long)n->outside,
                  (long long)n->unsolved, (double)n->points / seconds);
    if (s->table.inverse) (void)fprintf(stderr, "largest residual %.3g um\n", n->worst_um);
}

/* ---- a rank ---- */

static int64_t unsolved; /* of rank 0's count, once the run is closed */

static bool share(void *ctx, clm_buf *b, clm_err *err) {
    clm_json *v = NULL;
    return clm_launch_put(clm_points_spec_to_json(&((const options *)ctx)->spec, &v, err), &v, b, err);
}

static bool open_run(const clm_buf *shared, clm_launched *out, clm_err *err) {
    clm_json *v = NULL;
    clm_points_run *run = NULL;
    if (!clm_json_parse(shared->data, shared->n, "options of rank 0", &v, err) ||
        !clm_points_open(v, &run, err))
        return false;
    *out = (clm_launched){.run = run,
                          .plan = &run->plan,
                          .folder = run->folder,
                          .drop = run->folder, /* but where the same command may end otherwise */
                          .drop_after = ~(1u << CLM_EXIT_INTERRUPTED | 1u << CLM_EXIT_OUTPUT),
                          .threads = run->spec.threads,
                          .task_mib = (double)arena_bytes(&run->spec) / 1048576.0,
                          .lease_s = CLM_LEASE_S};
    return true;
}

static bool prepare(void *run, clm_err *err) { return clm_points_prepare(run, err); }
static bool stage_begin(void *run, int stage, clm_err *err) {
    (void)run, (void)stage, (void)err;
    return true;
}
static bool run_task(void *run, const clm_work *w, const clm_task *task, clm_outcome *out, clm_err *err) {
    return clm_points_task(run, w, task, out, err);
}
static void on_outcome(void *run, const clm_outcome *o) { clm_points_add(run, o); }

static bool tell(void *run, bool ok, bool quiet, const clm_run_summary *s, clm_err *err) {
    const clm_points_run *r = run;
    (void)err;
    unsolved = r->count.unsolved;
    if (ok && !quiet) tell_count(&r->spec, &r->count, s->seconds);
    return true;
}

static void close_run(void *run) { clm_points_close(run); }

static const clm_launch_body body = {.command = "points",
                                     .share = share,
                                     .open = open_run,
                                     .prepare = prepare,
                                     .stage_begin = stage_begin,
                                     .task = run_task,
                                     .outcome = on_outcome,
                                     .tell = tell,
                                     .close = close_run};

static int run_shared(options *o) {
    int code = clm_launch(&body, o, &o->args);
    return code == CLM_EXIT_DONE && unsolved ? CLM_EXIT_BLOCKS_FAILED : code;
}

int clm_cmd_points(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    options o = {.spec = CLM_POINTS_DEFAULTS};
    clm_point_count n;
    if (!parse(argc, argv, &o, &err)) return clm_launch_refuse("points", &err);
    if (o.args.help) return clm_launch_help(help);
    if (clm_launch_ranks() > 1 || o.args.local_ranks || o.spec.threads > 1) return run_shared(&o);
    double begin = clm_clock_s();
    if (!run_alone(&o.spec, &n, &err)) return clm_command_fails("points", &err);
    if (!o.args.quiet) tell_count(&o.spec, &n, clm_clock_s() - begin);
    return n.unsolved ? CLM_EXIT_BLOCKS_FAILED : CLM_EXIT_DONE;
}
