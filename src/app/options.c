#include "collimate/app/options.h"
#include "collimate/base/text.h"

#include <getopt.h>
#include <string.h>

enum {
    FIXED = 256,
    ANY_ROTATION,
    MOVING,
    OUT,
    PRESET,
    SET,
    THREADS,
    LOCAL,
    JSON,
    FIXED_SPACING,
    MOVING_SPACING
};

static const struct option longs[] = {{"fixed", required_argument, NULL, FIXED},
                                      {"moving", required_argument, NULL, MOVING},
                                      {"out", required_argument, NULL, OUT},
                                      {"any-rotation", no_argument, NULL, ANY_ROTATION},
                                      {"preset", required_argument, NULL, PRESET},
                                      {"set", required_argument, NULL, SET},
                                      {"fixed-spacing", required_argument, NULL, FIXED_SPACING},
                                      {"moving-spacing", required_argument, NULL, MOVING_SPACING},
                                      {"threads", required_argument, NULL, THREADS},
                                      {"local", required_argument, NULL, LOCAL},
                                      {"json", no_argument, NULL, JSON},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"verbose", no_argument, NULL, 'v'},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

const char *clm_options_help(void) {
    return "  --fixed PATH           the fixed image: volume.n5/group/s0, volume.ome.zarr, ...\n"
           "  --moving PATH          the moving image\n"
           "  --out DIR              the run folder; the same command on it resumes\n"
           "  --preset NAME          a set of values for a kind of data: expansion, ...\n"
           "  --set KEY=VALUE        any key of config/keys.md, e.g. --set deform.stiffness=2 (repeatable)\n"
           "  --fixed-spacing Z,Y,X  voxel spacing in micrometres, overriding the metadata\n"
           "  --moving-spacing Z,Y,X\n"
           "  --any-rotation         the images may be turned by any angle against each other\n"
           "  --threads N            compute threads a rank (default: the rank's share of the cores)\n"
           "  --local N              N ranks as threads of this process, without mpirun\n"
           "  --json                 machine-readable output\n"
           "  -q, --quiet            errors only;  -v, --verbose  a line a block\n"
           "  -h, --help             this text\n";
}

/* "1,2,3" -> "KEY=[1,2,3]" */
static bool set_spacing(clm_config *c, const char *key, const char *value, clm_err *err) {
    char text[200];
    if (strlen(value) > 100) return clm_fail(err, CLM_E_ARG, "%s: must be Z,Y,X in micrometres", key);
    clm_buf b = {0};
    bool ok = clm_buf_printf(&b, err, "%s=[%s]", key, value);
    if (ok) {
        memcpy(text, b.data, b.n + 1);
        ok = clm_config_set(c, text, err);
    }
    clm_buf_free(&b);
    return ok;
}

/* A preset and a job file lie below what the rest of the command line says, wherever they stand in it. */
static bool put_below(int argc, char **argv, clm_config *c, clm_err *err) {
    const char *preset = NULL, *job = NULL;
    int o;
    optind = 0;
    opterr = 0;
    while ((o = getopt_long(argc, argv, "hqv", longs, NULL)) != -1) {
        if (o == '?')
            return clm_fail(err, CLM_E_ARG, "%s is no option here, or lacks its value; see --help",
                            argv[optind - 1]);
        if (o == PRESET) preset = optarg;
    }
    if (optind < argc) job = argv[optind++];
    if (optind < argc)
        return clm_fail(err, CLM_E_ARG, "\"%s\" is one argument too many; a job file is all that goes here",
                        argv[optind]);
    if (preset && !clm_config_put_preset(c, preset, err)) return false;
    if (!job) return true;
    clm_json *v;
    if (!clm_json_read(job, &v, err)) return err->code = CLM_E_ARG, false;
    bool ok = clm_config_put(c, v, job, err);
    clm_json_free(v);
    return ok;
}

static bool small_int(const char *text, const char *what, int least, int *out, clm_err *err) {
    int64_t v;
    if (!clm_text_int(text, &v) || v < least || v > 1024)
        return clm_fail(err, CLM_E_ARG, "%s %s: must be a whole number %d .. 1024", what, text, least);
    *out = (int)v;
    return true;
}

static bool put_above(int argc, char **argv, clm_options *out, clm_err *err) {
    clm_config *c = out->config;
    bool ok = true;
    int o, n = 0;
    optind = 0;
    while (ok && (o = getopt_long(argc, argv, "hqv", longs, NULL)) != -1) {
        switch (o) {
        case FIXED: ok = clm_config_put_text(c, "fixed", optarg, err); break;
        case MOVING: ok = clm_config_put_text(c, "moving", optarg, err); break;
        case OUT: ok = clm_config_put_text(c, "out", optarg, err); break;
        case SET: ok = clm_config_set(c, optarg, err); break;
        case FIXED_SPACING: ok = set_spacing(c, "fixed_spacing_um", optarg, err); break;
        case MOVING_SPACING: ok = set_spacing(c, "moving_spacing_um", optarg, err); break;
        case THREADS:
            ok = small_int(optarg, "--threads", 0, &n, err);
            if (ok) c->threads = n;
            break;
        case LOCAL: ok = small_int(optarg, "--local", 1, &out->local_ranks, err); break;
        case ANY_ROTATION: c->global_any_rotation = true; break;
        case JSON: out->json = true; break;
        case 'q': out->quiet = true; break;
        case 'v': out->verbose = true; break;
        case 'h': out->help = true; break;
        default: break;
        }
    }
    return ok;
}

bool clm_options_parse(int argc, char **argv, clm_options *out, clm_err *err) {
    *out = (clm_options){0};
    return clm_config_new(&out->config, err) && put_below(argc, argv, out->config, err) &&
           put_above(argc, argv, out, err);
}

void clm_options_free(clm_options *o) {
    clm_config_free(o->config);
    o->config = NULL;
}
