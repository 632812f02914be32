#include "collimate/app/options.h"
#include "collimate/base/json.h"

#include <stdio.h>

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
static bool set_spacing(void *config, const char *name, const char *text, clm_err *err) {
    char line[200];
    int n = snprintf(line, sizeof line, "%s_spacing_um=[%s]", name[0] == 'f' ? "fixed" : "moving", text);
    if (n < 0 || (size_t)n >= sizeof line)
        return clm_fail(err, CLM_E_ARG, "--%s: must be Z,Y,X in micrometres", name);
    return clm_config_set(config, line, err);
}

static bool set_key(void *config, const char *name, const char *text, clm_err *err) {
    (void)name;
    return clm_config_set(config, text, err);
}

static bool put_text(void *config, const char *name, const char *text, clm_err *err) {
    return clm_config_put_text(config, name, text, err);
}

static bool ignore(void *config, const char *name, const char *text, clm_err *err) {
    (void)config, (void)name, (void)text, (void)err;
    return true;
}

/* Once to learn what lies below: the preset and the job file; and above them for what it says itself. */
static bool parse(int argc, char **argv, clm_options *o, bool above, const char **preset, clm_err *err) {
    clm_config *c = o->config;
    const clm_arg table[] = {CLM_OPT("fixed", CALL, c, .set = above ? put_text : ignore),
                             CLM_OPT("moving", CALL, c, .set = above ? put_text : ignore),
                             CLM_OPT("out", CALL, c, .set = above ? put_text : ignore),
                             CLM_OPT("set", CALL, c, .set = above ? set_key : ignore),
                             CLM_OPT("fixed-spacing", CALL, c, .set = above ? set_spacing : ignore),
                             CLM_OPT("moving-spacing", CALL, c, .set = above ? set_spacing : ignore),
                             CLM_OPT("preset", TEXT, preset),
                             CLM_OPT("any-rotation", ON, &c->global_any_rotation),
                             CLM_OPT("threads", WHOLE, &c->threads, .most = 1024),
                             CLM_OPT("json", ON, &o->json),
                             CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, CLM_ARGS_TALK | CLM_ARGS_RANKS, &o->args, err)) return false;
    return o->args.n_rest < 2 ||
           clm_fail(err, CLM_E_ARG, "\"%s\" is one argument too many; a job file is all that goes here",
                    o->args.rest[1]);
}

/* A preset and a job file lie below what the rest of the command line says, wherever they stand in it. */
bool clm_options_parse(int argc, char **argv, clm_options *out, clm_err *err) {
    const char *preset = NULL;
    clm_json *v = NULL;
    *out = (clm_options){.json = false};
    if (!clm_config_new(&out->config, err) || !parse(argc, argv, out, false, &preset, err) ||
        (preset && !clm_config_put_preset(out->config, preset, err)))
        return false;
    const char *job = out->args.n_rest ? out->args.rest[0] : NULL;
    if (job && !clm_json_read(job, &v, err)) return err->code = CLM_E_ARG, false;
    bool ok =
        (!job || clm_config_put(out->config, v, job, err)) && parse(argc, argv, out, true, &preset, err);
    clm_json_free(v);
    return ok;
}

void clm_options_free(clm_options *o) {
    clm_config_free(o->config);
    o->config = NULL;
}
