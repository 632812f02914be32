#include "support/toy.h"
#include "collimate/base/clock.h"
#include "collimate/base/crc.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 2, REACH = 1 }; /* a chunk is 2 blocks wide and needs the blocks around it, too */

static clm_span toy_needs(const void *ctx, int stage, const int64_t at[3]) {
    (void)ctx;
    (void)stage;
    clm_span s;
    for (int d = 0; d < 3; d++) {
        s.lo[d] = at[d] * CHUNK - REACH;
        s.hi[d] = (at[d] + 1) * CHUNK + REACH;
    }
    return s;
}

static clm_span toy_feeds(const void *ctx, int stage, const int64_t at[3]) {
    (void)ctx;
    (void)stage;
    clm_span s;
    for (int d = 0; d < 3; d++) {
        s.lo[d] = (at[d] - REACH + CHUNK) / CHUNK - 1;
        s.hi[d] = (at[d] + REACH) / CHUNK + 1;
    }
    return s;
}

static void set_stage(toy *t, int k, const char *name, int64_t nz, int64_t ny, int64_t nx) {
    clm_stage *s = &t->stage[k];
    *s = (clm_stage){.n = nz * ny * nx, .shape = {nz, ny, nx}};
    (void)snprintf(s->name, sizeof s->name, "%s", name);
}

void toy_make(toy *t, const char *folder, int side) {
    memset(t, 0, sizeof *t);
    int64_t chunks = (side + CHUNK - 1) / CHUNK;
    (void)snprintf(t->folder, sizeof t->folder, "%s", folder);
    set_stage(t, TOY_SPOTS, "spots", 1, 1, side * 2);
    set_stage(t, TOY_SOLVE, "solve", 1, 1, 1);
    set_stage(t, TOY_DEFORM, "deform", side, side, side);
    set_stage(t, TOY_STITCH, "stitch", chunks, chunks, chunks);
    set_stage(t, TOY_APPLY, "apply", 1, chunks, chunks);
    t->stage[TOY_SOLVE].fatal = true;
    t->stage[TOY_STITCH].start = CLM_STAGE_FOLLOWS;
    t->stage[TOY_STITCH].needs = toy_needs;
    t->stage[TOY_STITCH].feeds = toy_feeds;
    t->deform_error = CLM_E_NODATA;
    t->plan = (clm_plan){.stage = t->stage, .n_stages = TOY_STAGES, .ctx = t, .hash = 77 + (uint64_t)side};
}

static bool file_of(const toy *t, int stage, int64_t index, char out[CLM_PATH_MAX], clm_err *err) {
    return clm_path_format(out, err, "%s/%s/%" PRId64, t->folder, t->stage[stage].name, index);
}

/* fold a file of an earlier stage into the hash; one that may be missing counts as weight 0 */
static bool fold(toy *t, int stage, int64_t index, bool may_miss, uint64_t *hash, clm_err *err) {
    char path[CLM_PATH_MAX];
    clm_buf b = {0};
    clm_err local = CLM_ERR_NONE;
    if (!file_of(t, stage, index, path, err)) return false;
    bool ok = clm_file_read(path, 1 << 16, &b, &local);
    if (ok) *hash = clm_hash64(*hash, b.data, b.n);
    clm_buf_free(&b);
    if (ok || (may_miss && local.code == CLM_E_NOTFOUND)) return true;
    atomic_fetch_add(&t->early, 1);
    *err = local;
    return false;
}

static bool deform_fails(int64_t index) { return index % 7 == 3; }

static bool fold_all(toy *t, int stage, uint64_t *hash, clm_err *err) {
    for (int64_t i = 0; i < t->stage[stage].n; i++)
        if (!fold(t, stage, i, false, hash, err)) return false;
    return true;
}

static bool fold_pieces(toy *t, int64_t index, uint64_t *hash, clm_err *err) {
    const int64_t *shape = t->stage[TOY_STITCH].shape, *side = t->stage[TOY_DEFORM].shape;
    int64_t at[3] = {index / shape[2] / shape[1], index / shape[2] % shape[1], index % shape[2]};
    clm_span s = toy_needs(NULL, TOY_STITCH, at);
    for (int64_t z = s.lo[0] < 0 ? 0 : s.lo[0]; z < s.hi[0] && z < side[0]; z++)
        for (int64_t y = s.lo[1] < 0 ? 0 : s.lo[1]; y < s.hi[1] && y < side[1]; y++)
            for (int64_t x = s.lo[2] < 0 ? 0 : s.lo[2]; x < s.hi[2] && x < side[2]; x++) {
                int64_t piece = (z * side[1] + y) * side[2] + x;
                if (!fold(t, TOY_DEFORM, piece, deform_fails(piece), hash, err)) return false;
            }
    return true;
}

static bool toy_work(toy *t, const clm_task *task, uint64_t *hash, clm_err *err) {
    int64_t i = task->index;
    switch (task->stage) {
    case TOY_SOLVE:
        if (t->fatal) return clm_fail(err, CLM_E_NUMERIC, "singular");
        return fold_all(t, TOY_SPOTS, hash, err);
    case TOY_DEFORM:
        if (i % 11 == 5 && task->attempt < 2) return clm_fail(err, CLM_E_IO, "the server is away");
        if (deform_fails(i)) return clm_fail(err, t->deform_error, "no texture");
        return fold(t, TOY_SOLVE, 0, false, hash, err);
    case TOY_STITCH: return fold_pieces(t, i, hash, err);
    case TOY_APPLY: return fold_all(t, TOY_STITCH, hash, err);
    default: return true;
    }
}

static bool toy_run(void *ctx, int slot, const clm_task *task, clm_outcome *out, clm_err *err) {
    toy *t = ctx;
    long long run = atomic_fetch_add(&t->runs, 1) + 1, kill_after = atomic_load(&t->kill_after);
    if (kill_after > 0 && run >= kill_after) {
        if (t->kill_signal < 0) _exit(-1 - t->kill_signal);
        (void)kill(getpid(), t->kill_signal ? t->kill_signal : SIGKILL);
    }
    if (!atomic_load(&t->begun[task->stage])) atomic_fetch_add(&t->early, 1);
    double pause_s = t->most_task_s * clm_rng_uniform(5, (uint64_t)task->stage, (uint64_t)task->index);
    if (pause_s > 0) clm_nap_us((long)(pause_s * 1e6));
    uint64_t hash = clm_rng_bits(9, (uint64_t)task->stage, (uint64_t)task->index);
    out->figure[0] = (double)slot;
    out->peak_bytes = 1;
    if (!toy_work(t, task, &hash, err)) return false;
    char path[CLM_PATH_MAX], text[64];
    int n = snprintf(text, sizeof text, "%016" PRIx64 "\n", hash);
    return file_of(t, task->stage, task->index, path, err) &&
           clm_file_publish(path, text, (size_t)n, false, err);
}

static bool toy_begin(void *ctx, int stage, int64_t remaining, clm_err *err) {
    toy *t = ctx;
    char path[CLM_PATH_MAX];
    (void)remaining;
    atomic_fetch_add(&t->begun[stage], 1);
    return clm_path_format(path, err, "%s/%s", t->folder, t->stage[stage].name) && clm_folder_make(path, err);
}

static bool toy_end(void *ctx, int stage, clm_err *err) {
    toy *t = ctx;
    if (stage != t->ended) return clm_fail(err, CLM_E_ARG, "stage %d ended after %d", stage, t->ended);
    t->ended++;
    return true;
}

clm_worker_ops toy_ops(toy *t) {
    return (clm_worker_ops){.ctx = t, .run = toy_run, .stage_begin = toy_begin, .stage_end = toy_end};
}

void toy_on_spent(void *ctx, int stage, int64_t index) {
    toy *t = ctx;
    char path[CLM_PATH_MAX];
    clm_err err;
    atomic_fetch_add(&t->spent, 1);
    if (t->drop_spent && file_of(t, stage, index, path, &err)) (void)unlink(path);
}

uint64_t toy_digest(const toy *t) {
    uint64_t hash = CLM_HASH_BEGIN;
    char path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    static const int kept[] = {TOY_SPOTS, TOY_SOLVE, TOY_STITCH, TOY_APPLY};
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
        for (int64_t i = 0; i < t->stage[kept[k]].n; i++) {
            bool there = file_of(t, kept[k], i, path, &err) && clm_file_read(path, 1 << 16, &b, &err);
            if (there)
                hash = clm_hash64(hash, b.data, b.n);
            else
                hash = clm_hash64(hash, "missing", 7);
        }
    clm_buf_free(&b);
    return hash;
}
