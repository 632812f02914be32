#include "collimate/job/points_run.h"
#include "collimate/base/crc.h"
#include "collimate/base/csv.h"
#include "collimate/base/fault.h"
#include "collimate/base/file.h"
#include "collimate/job/view.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool clm_points_spec_to_json(const clm_points_spec *s, clm_json **out, clm_err *err) {
    clm_json *v = clm_json_new_object(err);
    if (!v) return false;
    clm_json *list = clm_json_add_list(v, "transforms"), *columns = clm_json_add_list(v, "columns");
    for (int i = 0; i < s->n_transforms; i++) clm_json_add_text(list, NULL, s->transforms[i]);
    for (int d = 0; d < 3; d++) clm_json_add_text(columns, NULL, s->table.column[d]);
    clm_json_add_text(v, "in", s->table.in);
    clm_json_add_text(v, "out", s->table.out);
    clm_json_add_bool(v, "list", s->table.list);
    if (s->like) clm_json_add_text(v, "like", s->like);
    clm_json_add_number(v, "like_level", (double)s->like_level);
    clm_json_add_bool(v, "inverse", s->table.inverse);
    clm_json_add_bool(v, "solve", s->solve);
    clm_json_add_number(v, "tolerance_um", s->table.tolerance_um);
    clm_json_add_number(v, "batch", (double)s->table.batch);
    clm_json_add_number(v, "part_bytes", (double)s->part_bytes);
    clm_json_add_number(v, "threads", (double)s->threads);
    clm_json_add_number(v, "cache_mib", (double)s->cache_mib);
    *out = v;
    return true;
}

static bool spec_of_json(const clm_json *v, clm_points_spec *out, clm_err *err) {
    clm_points_spec s = CLM_POINTS_DEFAULTS;
    const clm_json *list = clm_json_get(v, "transforms"), *columns = clm_json_get(v, "columns");
    s.n_transforms = (int)clm_json_size(list);
    bool ok = s.n_transforms >= 1 && s.n_transforms <= CLM_POINTS_TRANSFORMS_MAX;
    for (int i = 0; ok && i < s.n_transforms; i++)
        ok = (s.transforms[i] = clm_json_text(clm_json_at(list, i))) != NULL;
    for (int d = 0; ok && d < 3; d++)
        ok = (s.table.column[d] = clm_json_text(clm_json_at(columns, d))) != NULL;
    ok = ok && (s.table.in = clm_json_text(clm_json_get(v, "in"))) != NULL &&
         (s.table.out = clm_json_text(clm_json_get(v, "out"))) != NULL &&
         clm_json_is(clm_json_get(v, "list"), &s.table.list) &&
         clm_json_int(clm_json_get(v, "like_level"), &s.like_level) &&
         clm_json_is(clm_json_get(v, "inverse"), &s.table.inverse) &&
         clm_json_is(clm_json_get(v, "solve"), &s.solve) &&
         clm_json_number(clm_json_get(v, "tolerance_um"), &s.table.tolerance_um) &&
         clm_json_int(clm_json_get(v, "batch"), &s.table.batch) &&
         clm_json_int(clm_json_get(v, "part_bytes"), &s.part_bytes) && s.part_bytes > 0 &&
         clm_json_int(clm_json_get(v, "threads"), &s.threads) &&
         clm_json_int(clm_json_get(v, "cache_mib"), &s.cache_mib);
    s.like = clm_json_text(clm_json_get(v, "like"));
    if (!ok) return clm_fail(err, CLM_E_FORMAT, "which points are meant is told incompletely");
    *out = s;
    return true;
}

static bool set_lists(clm_points_spec *s, const clm_map *map, clm_err *err) {
    clm_list_kind kind;
    if (!clm_point_list_kind(s->table.in, &kind, err)) return false;
    s->table.list |= kind && !clm_text_ends(s->table.out, ".csv") && !clm_text_ends(s->table.out, ".tsv");
    s->table.grid = s->table.inverse ? map->moving : map->fixed;
    return !s->like || clm_view_frame_like(s->like, s->like_level, &s->table.grid, err);
}

bool clm_points_open_maps(clm_points_spec *s, clm_map *map, clm_map *back, clm_err *err) {
    size_t cache = (size_t)s->cache_mib << 20;
    bool stored = false;
    memset(back, 0, sizeof *back);
    if (!clm_map_open(s->transforms, s->n_transforms, cache, map, err)) return false;
    if (!set_lists(s, map, err)) {
        clm_map_close(map);
        return false;
    }
    if (!s->table.inverse || s->solve) return true;
    if (!clm_map_open_stored_back(s->transforms, s->n_transforms, cache, back, &stored, err)) return false;
    s->table.back = stored ? back : NULL;
    return true;
}

bool clm_points_folder(const char *out, char folder[CLM_PATH_MAX], clm_err *err) {
    const char *name = clm_path_name(out);
    return clm_path_format(folder, err, "%.*s.%s.points", (int)(name - out), out, name);
}

/* what decides the bytes; a file that changed is another one */
static bool set_hash(clm_points_run *run, const struct stat *st, clm_err *err) {
    clm_json *v = NULL;
    clm_buf b = {0};
    clm_points_spec s = run->spec;
    s.threads = s.cache_mib = 0;
    bool ok = clm_points_spec_to_json(&s, &v, err) && clm_json_print(v, false, &b, err);
    uint64_t fields = 0, h = ok ? clm_hash64(CLM_HASH_BEGIN, b.data, b.n) : 0;
    ok = ok && clm_map_stamp(&run->map, &fields, err) && clm_map_stamp(&run->back, &fields, err);
    h = clm_hash64(h, &fields, sizeof fields);
    h = clm_hash64(clm_hash64(h, &st->st_size, sizeof st->st_size), &st->st_mtim, sizeof st->st_mtim);
    run->plan.hash =
        clm_hash64(clm_map_hash(&run->back, clm_map_hash(&run->map, h)), CLM_VERSION, strlen(CLM_VERSION));
    clm_json_free(v);
    clm_buf_free(&b);
    return ok;
}

static bool open_all(clm_points_run *run, clm_err *err) {
    struct stat st;
    clm_points_spec *s = &run->spec;
    if (!spec_of_json(run->json, s, err) || !clm_points_folder(s->table.out, run->folder, err)) return false;
    if (strcmp(s->table.in, "-") == 0 || strcmp(s->table.out, "-") == 0)
        return clm_fail(err, CLM_E_ARG, "a pipe (-) cannot be shared by several ranks or threads");
    if (stat(s->table.in, &st) != 0) return clm_fail_os(err, CLM_E_NOTFOUND, "%s", s->table.in);
    if (!S_ISREG(st.st_mode))
        return clm_fail(err, CLM_E_ARG, "%s: not a file; a pipe cannot be shared by several ranks or threads",
                        s->table.in);
    if (!clm_points_open_maps(s, &run->map, &run->back, err)) return false;
    run->bytes = (int64_t)st.st_size;
    for (int k = 0; k < 2; k++) {
        run->stage[k] = (clm_stage){.fatal = true, .shape = {1, 1, 1}, .n = 1};
        (void)snprintf(run->stage[k].name, sizeof run->stage[k].name, "%s", k ? "finish" : "points");
    }
    if (run->bytes > 0) run->stage[0].n = run->stage[0].shape[2] = clm_div_up(run->bytes, s->part_bytes);
    run->plan.stage = run->stage;
    run->plan.n_stages = 2;
    run->plan.ctx = run;
    return set_hash(run, &st, err);
}

bool clm_points_open(clm_json *v, clm_points_run **out, clm_err *err) {
    clm_points_run *run = clm_heap_new(1, sizeof *run, err);
    if (!run) {
        clm_json_free(v);
        return false;
    }
    run->json = v;
    if (!open_all(run, err)) {
        clm_points_close(run);
        return false;
    }
    *out = run;
    return true;
}

void clm_points_close(clm_points_run *run) {
    if (!run) return;
    clm_map_close(&run->map);
    clm_map_close(&run->back);
    clm_json_free(run->json);
    clm_heap_free(run);
}

bool clm_points_prepare(clm_points_run *run, clm_err *err) {
    char parts[CLM_PATH_MAX];
    return clm_path_join(parts, run->folder, "part", err) && clm_folder_make(parts, err);
}

static bool part_path(const clm_points_run *run, int64_t index, char path[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(path, err, "%s/part/%lld", run->folder, (long long)index);
}

static bool one_part(const clm_points_run *run, const clm_work *w, int64_t index, double *figure,
                     clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_point_count n = {0};
    clm_point_table t = run->spec.table;
    t.out = path;
    t.from = index * run->spec.part_bytes;
    t.to = t.from + run->spec.part_bytes;
    if (!part_path(run, index, path, err) || !clm_point_table_run(&run->map, &t, w, &n, err)) return false;
    const double told[] = {(double)n.points, (double)n.extrapolated, (double)n.outside, (double)n.unsolved,
                           n.worst_um};
    memcpy(figure, told, sizeof told);
    return true;
}

static bool append(clm_writer *out, const char *path, void *room, size_t cap, clm_err *err) {
    int fd = clm_fault("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;
    bool ok = fd >= 0 || clm_fail_os(err, CLM_E_IO, "%s", path);
    while (ok && got > 0) {
        got = clm_fault("read") ? -1 : read(fd, room, clm_fault_short(cap));
        ok = got >= 0 ? clm_writer_put(out, room, (size_t)got, err) : clm_fail_os(err, CLM_E_IO, "%s", path);
    }
    if (fd >= 0) (void)close(fd);
    return ok;
}

static bool join_parts(const clm_points_run *run, const clm_work *w, clm_err *err) {
    const int64_t cap = (int64_t)4 << 20;
    clm_writer out;
    char path[CLM_PATH_MAX];
    void *room = clm_arena_take(w->temp, cap, 1, err);
    if (!room || !clm_writer_open(run->spec.table.out, &out, err)) return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < run->stage[0].n; i++)
        ok = part_path(run, i, path, err) && append(&out, path, room, (size_t)cap, err);
    ok = ok && clm_writer_publish(&out, err);
    clm_writer_close(&out);
    return ok;
}

bool clm_points_task(const clm_points_run *run, const clm_work *w, const clm_task *task, clm_outcome *out,
                     clm_err *err) {
    clm_arena_reset(w->keep, (size_t)64 << 20);
    clm_arena_reset(w->temp, (size_t)64 << 20);
    bool ok = task->stage ? join_parts(run, w, err) : one_part(run, w, task->index, out->figure, err);
    out->peak_bytes = (double)clm_arena_peak(w->keep) + (double)clm_arena_peak(w->temp);
    return ok;
}

void clm_points_add(clm_points_run *run, const clm_outcome *o) {
    if (o->task.stage || o->err.code) return;
    run->count.points += (int64_t)o->figure[0];
    run->count.extrapolated += (int64_t)o->figure[1];
    run->count.outside += (int64_t)o->figure[2];
    run->count.unsolved += (int64_t)o->figure[3];
    run->count.worst_um = fmax(run->count.worst_um, o->figure[4]);
}
