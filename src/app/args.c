#include "collimate/app/args.h"

#include <assert.h>
#include <getopt.h>
#include <math.h>
#include <string.h>

#define OPTIONS_MAX 64

static bool in_range(const clm_arg *a, double x) {
    if (a->above) return x > a->least && (a->most <= a->least || x <= a->most);
    return a->most <= a->least || (x >= a->least && x <= a->most);
}

static bool fit_three(const clm_arg *a, const char *text, double x[3]) {
    return clm_text_reals(text, 3, a->one, x) && in_range(a, x[0]) && in_range(a, x[1]) && in_range(a, x[2]);
}

static bool set_shape(const clm_arg *a, const char *text) {
    double x[3];
    int64_t *n = a->to;
    if (!clm_text_reals(text, 3, a->one, x)) return false;
    for (int d = 0; d < 3; d++) {
        if (!(x[d] >= 1.0 && x[d] <= 1e12) || x[d] != floor(x[d])) return false;
        n[d] = (int64_t)x[d];
    }
    return true;
}

static bool refuse(const clm_arg *a, const char *text, const char *what, clm_err *err) {
    if (a->above)
        return clm_fail(err, CLM_E_ARG, "--%s %.200s: must be %s above %g", a->name, text, what, a->least);
    if (a->most > a->least)
        return clm_fail(err, CLM_E_ARG, "--%s %.200s: must be %s %.10g .. %.10g", a->name, text, what,
                        a->least, a->most);
    return clm_fail(err, CLM_E_ARG, "--%s %.200s: must be %s", a->name, text, what);
}

static bool take(const clm_arg *a, char *text, clm_err *err) {
    char *colon;
    int64_t n;
    double x[3];
    if (a->given) *a->given = true;
    switch (a->kind) {
    case CLM_ARG_ON: return *(bool *)a->to = true;
    case CLM_ARG_OFF: *(bool *)a->to = false; return true;
    case CLM_ARG_TEXT: *(const char **)a->to = text; return true;
    case CLM_ARG_LEVEL:
        *(const char **)a->to = text;
        *a->level = 0;
        if ((colon = strrchr(text, ':')) && clm_text_int(colon + 1, a->level)) *colon = 0;
        return true;
    case CLM_ARG_WHOLE:
        if (!clm_text_int(text, &n) || !in_range(a, (double)n)) return refuse(a, text, "a whole number", err);
        *(int64_t *)a->to = n;
        return true;
    case CLM_ARG_REAL:
        if (!clm_text_real(text, x) || !in_range(a, x[0])) return refuse(a, text, "a number", err);
        *(double *)a->to = x[0];
        return true;
    case CLM_ARG_THREE:
        if (!fit_three(a, text, x))
            return refuse(a, text, a->one ? "three numbers Z,Y,X (or one for all)" : "three numbers Z,Y,X",
                          err);
        memcpy(a->to, x, sizeof x);
        return true;
    case CLM_ARG_SHAPE:
        return set_shape(a, text) || refuse(a, text,
                                            a->one ? "three whole numbers Z,Y,X (or one for all) from 1"
                                                   : "three whole numbers Z,Y,X from 1",
                                            err);
    default: return a->set(a->to, a->name, text, err);
    }
}

/* the table, and behind it what every command has; returns how many */
static int join(const clm_arg *table, int common, clm_args *out, clm_arg all[OPTIONS_MAX]) {
    const clm_arg every[] = {CLM_OPT("help", ON, &out->help), CLM_OPT("quiet", ON, &out->quiet),
                             CLM_OPT("verbose", ON, &out->verbose),
                             CLM_OPT("local", WHOLE, &out->local_ranks, .least = 1, .most = 1024)};
    int n = 0;
    for (; table[n].kind != CLM_ARG_NONE; n++) assert(n < OPTIONS_MAX - 4), all[n] = table[n];
    all[n++] = every[0];
    if (common & CLM_ARGS_TALK) all[n++] = every[1], all[n++] = every[2];
    if (common & CLM_ARGS_RANKS) all[n++] = every[3];
    return n;
}

static bool unknown(const clm_arg *all, int n, const char *text, clm_err *err) {
    const char *names[OPTIONS_MAX], *begin = text;
    char name[64];
    if (strncmp(text, "--", 2) != 0)
        return clm_fail(err, CLM_E_ARG, "unknown option %.200s; see --help", text);
    begin += 2;
    size_t len = strcspn(begin, "=");
    if (len < sizeof name) {
        memcpy(name, begin, len);
        name[len] = 0;
        for (int i = 0; i < n; i++) {
            names[i] = all[i].name;
            if (strcmp(name, names[i]) == 0)
                return clm_fail(err, CLM_E_ARG, "--%s: %s; see --help", name,
                                begin[len] ? "takes no value" : "its value is missing");
        }
        const char *near = clm_text_nearest(name, names, n);
        if (near)
            return clm_fail(err, CLM_E_ARG, "unknown option %.200s; nearest is --%s; see --help", text, near);
    }
    return clm_fail(err, CLM_E_ARG, "unknown option %.200s; see --help", text);
}

bool clm_args_parse(int argc, char **argv, const clm_arg *table, int common, clm_args *out, clm_err *err) {
    *out = (clm_args){.help = false};
    clm_arg all[OPTIONS_MAX];
    struct option longs[OPTIONS_MAX + 1] = {{.name = NULL}};
    int n = join(table, common, out, all), c, at = 0;
    for (int i = 0; i < n; i++) {
        bool bare = all[i].kind == CLM_ARG_ON || all[i].kind == CLM_ARG_OFF;
        longs[i] = (struct option){all[i].name, bare ? no_argument : required_argument, NULL, 256};
    }
    optind = 0; /* getopt begins anew */
    opterr = 0;
    while ((c = getopt_long(argc, argv, common & CLM_ARGS_TALK ? "hqv" : "h", longs, &at)) != -1) {
        if (c == '?') return unknown(all, n, argv[optind - 1], err);
        if (c == 'h') out->help = true;
        if (c == 'q') out->quiet = true;
        if (c == 'v') out->verbose = true;
        if (c == 256 && !take(&all[at], optarg, err)) return false;
    }
    out->rest = argv + optind;
    out->n_rest = argc - optind;
    return true;
}
