/* Command lines from a table: an option's line says where its value goes and what it may be. Messages, --help's
 * hints to a misspelt name and the options that every command has are here. */
#ifndef CLM_APP_ARGS_H
#define CLM_APP_ARGS_H

#include "collimate/base/text.h"

typedef enum clm_arg_kind {
    CLM_ARG_NONE,  /* ends a table */
    CLM_ARG_ON,    /* no value; bool *to becomes true */
    CLM_ARG_OFF,   /* no value; bool *to becomes false */
    CLM_ARG_TEXT,  /* const char **to, borrowed from argv */
    CLM_ARG_LEVEL, /* PATH or PATH:LEVEL: const char **to, the path, borrowed from argv, and *level */
    CLM_ARG_WHOLE, /* int64_t *to */
    CLM_ARG_REAL,  /* double *to */
    CLM_ARG_THREE, /* double to[3]: Z,Y,X */
    CLM_ARG_SHAPE, /* int64_t to[3]: Z,Y,X, whole and at least 1 */
    CLM_ARG_CALL   /* set(to, name, text, err) */
} clm_arg_kind;

typedef struct clm_arg {
    const char *name; /* without the dashes */
    clm_arg_kind kind;
    void *to;
    double least, most; /* of numbers; both 0: any */
    bool above;         /* more than least, not least itself; without `most` there is no upper bound */
    bool one;           /* of three: a single number stands for all */
    bool *given;        /* NULL, or becomes true */
    int64_t *level;     /* of a path; 0 where none is written */
    bool (*set)(void *to, const char *name, const char *text, clm_err *err);
} clm_arg;

/* A line of a table: CLM_OPT("chunk", WHOLE, &s->chunk_vox, .least = 8, .most = 1024) */
#define CLM_OPT(name_, kind_, ...) \
    { .name = (name_), .kind = CLM_ARG_##kind_, .to = __VA_ARGS__ }
#define CLM_OPT_END \
    { .kind = CLM_ARG_NONE }

/** What every command has: -h, --help; of commands that `talk` also -q, --quiet and -v, --verbose; of those that run
 *  over ranks --local N. */
typedef struct clm_args {
    bool help, quiet, verbose;
    int64_t local_ranks; /* 0: not asked */
    char **rest;         /* what is no option, in order; borrowed */
    int n_rest;
} clm_args;
enum { CLM_ARGS_TALK = 1, CLM_ARGS_RANKS = 2 };

/** argv[0] is the command's name; options and other arguments may be mixed, "--" ends options. The order of argv may
 *  change, and a path's level is cut off it. CLM_E_ARG with one line to show; values before it are set. */
CLM_MUST bool clm_args_parse(int argc, char **argv, const clm_arg *table, int common, clm_args *out,
                             clm_err *err);

#endif
