/* A chain of transforms as one: evaluated once at every node of a new lattice. And the inverse of one, which is a
 * chain turned round, with what is left of T(x) - y at every node; and part of the way of one (transform/root.h), first
 * sought in sweeps over the lattice. All ranks open the same run from the same JSON. */
#ifndef CLM_JOB_COMPOSE_H
#define CLM_JOB_COMPOSE_H

#include "collimate/base/json.h"
#include "collimate/transform/root.h"
#include "collimate/transform/transform_out.h"
#include "collimate/plan/task.h"

#define CLM_COMPOSE_TRANSFORMS_MAX 16
#define CLM_SWEEPS_MAX 64

/** What the user asked for. Borrowed texts. */
typedef struct clm_compose_spec {
    const char *transforms[CLM_COMPOSE_TRANSFORMS_MAX]; /* a point goes through the first one first */
    int n_transforms;
    const char *output;
    const char *format;  /* NULL, or as clm_transform_kind_of has it                */
    bool invert;         /* the chain turned round, and its residual written          */
    int64_t root, power; /* of the chain, R^power with R^root = T; root 1: not asked  */
    int64_t sweeps;      /* root: most of them                                        */
    double
        tolerance_um; /* invert: of |T(x) - y|; root: of |R^root(x) - T(x)|; 0: 0.001, of a root a tenth of the
                            least distance of nodes */
    const char *like; /* NULL, or an image whose grid the new transform begins on  */
    int64_t like_level;
    bool has_spacing, has_origin, has_shape; /* of the lattice; what is not given follows */
    double spacing_um[3], origin_um[3];
    int64_t shape[3];
    int64_t chunk_nodes;
    int64_t threads; /* 0: this rank's share of the cores */
    double task_mib, cache_mib;
} clm_compose_spec;
#define CLM_COMPOSE_DEFAULTS \
    ((clm_compose_spec){     \
        .root = 1, .power = 1, .sweeps = 24, .chunk_nodes = 32, .task_mib = 1024, .cache_mib = 256})

/** As JSON and back; of_json borrows its texts from v. */
CLM_MUST bool clm_compose_spec_to_json(const clm_compose_spec *spec, clm_json **out, clm_err *err);
CLM_MUST bool clm_compose_spec_of_json(const clm_json *v, clm_compose_spec *out, clm_err *err);

/** Figures of a task. */
typedef enum clm_composed {
    CLM_COMPOSED_NODES,
    CLM_COMPOSED_UNSOLVED, /* nodes that no x was found for (invert, root: within the tolerance): coverage 0 */
    CLM_COMPOSED_EXTRAPOLATED, /* nodes beyond a field's lattice: coverage 0                                */
    CLM_COMPOSED_CELLS,        /* at whose centres the interpolation was measured                           */
    CLM_COMPOSED_ERROR_MAX,    /* micrometres where T leads to: between nodes against the chain itself      */
    CLM_COMPOSED_ERROR_SQ,     /* sum of squares over the cells                                             */
    CLM_COMPOSED_RESIDUAL,     /* invert, root: greatest residual of the nodes, micrometres                 */
    CLM_COMPOSED_AT_Z,         /* invert, root: of that node, world micrometres                             */
    CLM_COMPOSED_AT_Y,
    CLM_COMPOSED_AT_X,
    CLM_COMPOSED_U_MAX,   /* greatest displacement stored */
    CLM_COMPOSED_BETWEEN, /* root: centres of cells at which the residual was measured, too  */
    CLM_COMPOSED_BETWEEN_MAX,
    CLM_COMPOSED_BETWEEN_SQ,
    CLM_COMPOSED_COUNT
} clm_composed;

typedef struct clm_compose_run {
    clm_json *json; /* owned; the spec's texts live in it */
    clm_compose_spec spec;
    char place[CLM_PATH_MAX];  /* OUT; of a file a folder beside it, see clm_transform_out_folder */
    char folder[CLM_PATH_MAX]; /* PLACE/.collimate */
    clm_map given;             /* as the user has it: it owns all arrays                       */
    clm_map map;               /* what is written; of a root not before its last stage        */
    clm_transform_out out;
    clm_plan plan; /* no stage for an affine: clm_compose_finish is all there is to do */
    clm_stage stage[CLM_SWEEPS_MAX + 1];
    double (*figures)[CLM_COMPOSED_COUNT]; /* [chunks], of ended tasks of the last stage: rank 0's */
    clm_root root;
    int sweeps;                      /* stages before the last one                       */
    clm_array *v[CLM_SWEEPS_MAX];    /* what each has left; NULL: it was not needed      */
    double farthest[CLM_SWEEPS_MAX]; /* of clm_root_sweep, of ended tasks: rank 0's      */
    double squares[CLM_SWEEPS_MAX];
    bool is_first; /* rank 0: clm_compose_prepare has been called */
} clm_compose_run;

/** v is taken over, also on failure. Reads metadata only.
 *  Errors   CLM_E_ARG no lattice known; an output that cannot hold a field; those of clm_map_open */
CLM_MUST bool clm_compose_open(clm_json *v, clm_compose_run **out, clm_err *err);
void clm_compose_close(clm_compose_run *run); /* NULL is fine */
/** Is the output not there, empty, or of this same plan on these same files? CLM_E_ARG, CLM_E_WRITE no. */
CLM_MUST bool clm_compose_fits(const clm_compose_run *run, clm_err *err);
/** Rank 0: make the output's arrays, or accept those of this same plan on these same files. */
CLM_MUST bool clm_compose_prepare(clm_compose_run *run, clm_err *err);
/** Before a task of the stage; on rank 0 before any other rank. */
CLM_MUST bool clm_compose_begin(clm_compose_run *run, int stage, clm_err *err);
/** One chunk of the lattice. Every node by itself: neither chunks nor their order show in the result. A root's sweeps
 *  leave fields in the record's folder, each read by the next; where one is not needed its tasks do nothing. */
CLM_MUST bool clm_compose_task(const clm_compose_run *run, const clm_work *w, const clm_task *task,
                               clm_outcome *out, clm_err *err);
/** Rank 0: an ended task. */
void clm_compose_outcome(clm_compose_run *run, const clm_outcome *o);
/** All of them: maxima, and sums in the order of chunks. */
void clm_compose_total(const clm_compose_run *run, double total[CLM_COMPOSED_COUNT]);
/** Sweeps that were made; when all of them have ended. */
int clm_compose_sweeps(const clm_compose_run *run);
/** Rank 0, when all is done: what sweeps have left goes. */
CLM_MUST bool clm_compose_tidy(clm_compose_run *run, clm_err *err);
/** Rank 0, at the end: the metadata that make it a transform, the figures in them. */
CLM_MUST bool clm_compose_finish(const clm_compose_run *run, clm_err *err);

#endif
