/* The graph behind graph.h, between graph_load.c, which fills it from metadata, and graph.c, which walks it. */
#ifndef CLM_TRANSFORM_GRAPH_PARTS_H
#define CLM_TRANSFORM_GRAPH_PARTS_H

#include "collimate/transform/graph.h"

#define CLM_SYSTEMS_MAX 4096
#define CLM_EDGES_MAX 16384

typedef struct clm_system {
    const char *path, *name; /* of the node it belongs to, "" the root; "" name: the node's own */
    bool declared;           /* with its axes                                                   */
    int n;                   /* axes; -1: not known                                             */
    const char *axis_name[CLM_DIMS_MAX];
    clm_graph_axis axis[CLM_DIMS_MAX];
} clm_system;

typedef struct clm_edge {
    const clm_json *v; /* NULL: the identity, two names of one system */
    const char *group; /* that its paths are relative to              */
    int from, to;
    bool parsed;
    clm_tform *t; /* NULL: v is wrong, why says how */
    clm_err why;
} clm_edge;

typedef struct clm_loaded { /* a node's metadata, kept because all else borrows from it */
    const char *path;
    clm_json *attrs;
    struct clm_loaded *next;
} clm_loaded;

struct clm_graph {
    char store[CLM_PATH_MAX];
    clm_arena *arena;
    clm_tform_ground ground;
    clm_loaded *loaded;
    int n_systems, n_edges;
    clm_system *system;
    clm_edge *edge;
    int first;      /* edge of the root's scene; -1: none */
    clm_tform same; /* of edges without metadata          */
};

/** The metadata of the node at `path` and of all it refers to, once; where nothing is there nothing is added. */
CLM_MUST bool clm_graph_load(clm_graph *s, const char *path, clm_err *err);
/** The same for the nodes below, `depth` folders deep. */
CLM_MUST bool clm_graph_load_below(clm_graph *s, const char *path, int depth, clm_err *err);
/** The system (path, name), made where it is not there; -1 with err set when there is no room. */
int clm_graph_system(clm_graph *s, const char *path, const char *name, clm_err *err);

#endif
