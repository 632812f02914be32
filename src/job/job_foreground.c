/* The foreground of one of the images, written as a label image that every later stage has for a mask. */
#include "collimate/image/foreground.h"
#include "collimate/image/reduce.h"
#include "jobs.h"

#define GROW_VOX 1 /* edges are the best there is to align by */

static bool put(const clm_output *out, const clm_work *w, const uint8_t *in, clm_err *err) {
    const clm_grid *g = &out->level[0];
    for (int64_t c = 0; c < g->n; c++) {
        clm_mark m = clm_arena_mark(w->temp);
        clm_box box = clm_grid_core(g, c);
        int64_t n = 0;
        uint8_t *part = clm_take(w->temp, uint8_t, clm_box_count(box), err);
        if (!part) return false;
        for (int64_t z = box.lo[0]; z < box.hi[0]; z++)
            for (int64_t y = box.lo[1]; y < box.hi[1]; y++)
                for (int64_t x = box.lo[2]; x < box.hi[2]; x++)
                    part[n++] = in[(z * g->extent[1] + y) * g->extent[2] + x];
        if (!clm_output_put(out, 0, c, part, err)) return false;
        clm_arena_rewind(w->temp, m);
    }
    return clm_output_finish(out, "foreground", NULL, err);
}

bool clm_job_foreground(const clm_run *run, const clm_work *w, const clm_task *task, double *figure,
                        clm_err *err) {
    int side = run->foreground[0].n_levels ? (int)task->index : 1;
    clm_view view = side ? run->coarse_moving : run->coarse_fixed;
    clm_foreground f;
    clm_vol fine, v;
    view.foreground = NULL; /* another rank may be further already */
    if (!clm_view_read(w, &view, clm_box_of(view.shape), &fine, err) ||
        !clm_reduce(w, &fine, run->foreground_factor[side], &v, err))
        return false;
    uint8_t *in = clm_take(w->keep, uint8_t, clm_vol_count(&v), err);
    if (!in || !clm_foreground_find(w, &v, GROW_VOX, in, &f, err) || !put(&run->foreground[side], w, in, err))
        return clm_err_in(err, "%s image", side ? "moving" : "fixed");
    figure[0] = f.share, figure[1] = f.apart;
    return true;
}
