#include "collimate/app/commands.h"
#include "collimate/app/each.h"
#include "collimate/app/launch.h"
#include "collimate/store/validate.h"

#include <stdio.h>

static const char help[] =
    "Usage: collimate validate [--json] [--chunks [--threads N]] PATH\n\n"
    "Is this well formed: an N5 or Zarr hierarchy with all below it, OME-Zarr 0.1 to 0.6 metadata, a volume in\n"
    "another format that is read, or one metadata document alone (.zarray, zarr.json, attributes.json, .zattrs,\n"
    "OME-Zarr attributes under any name, or the document itself as the argument)? Says where not, and why.\n\n"
    "  --json    print {\"valid\": true or false, \"message\": ...}; the exit code is then 0 for both verdicts\n"
    "  --chunks  decode every chunk of every array, too\n"
    "  --threads N  that decode (default: all cores this process may use)\n\n"
    "Examples:\n"
    "  collimate validate aligned.ome.zarr\n"
    "  collimate validate --json --chunks volume.n5\n"
    "  collimate validate --json '{\"zarr_format\": 2}'\n\n"
    "Exit codes: 0 valid (with --json: a verdict was given); 2 usage; 3 not valid, or it cannot be read.\n";

static int verdict(bool json, bool valid, const char *message, clm_err *err) {
    if (!json) {
        (void)fprintf(valid ? stdout : stderr, "%s: %s\n", valid ? "valid" : "not valid", message);
        return valid ? CLM_EXIT_DONE : CLM_EXIT_INPUT;
    }
    clm_buf b = {0};
    clm_json *v = clm_json_new_object(err);
    clm_json_add_bool(v, "valid", valid);
    clm_json_add_text(v, "message", message);
    bool ok = v && clm_json_print(v, false, &b, err) && fwrite(b.data, 1, b.n, stdout) == b.n;
    clm_json_free(v);
    clm_buf_free(&b);
    return ok ? CLM_EXIT_DONE : CLM_EXIT_OUTPUT;
}

int clm_cmd_validate(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    clm_validate_options options = {0};
    bool json = false;
    int64_t threads = 0;
    clm_args args;
    const clm_arg table[] = {CLM_OPT("json", ON, &json), CLM_OPT("chunks", ON, &options.chunks),
                             CLM_OPT("threads", WHOLE, &threads, .least = 1, .most = 256), CLM_OPT_END};
    if (!clm_args_parse(argc, argv, table, 0, &args, &err)) return clm_command_fails("validate", &err);
    if (args.help) return clm_launch_help(help);
    if (args.n_rest != 1 || !args.rest[0][0]) {
        (void)clm_fail(&err, CLM_E_ARG, "wants one PATH, and nothing else; see --help");
        return clm_command_fails("validate", &err);
    }
    clm_buf found = {0};
    options.threads = clm_each_threads((int)threads);
    bool ok = clm_validate(args.rest[0], &options, &found, &err);
    /* not to have been able to look is no verdict */
    int code = !ok && clm_err_is_refusal(&err)
                   ? clm_command_fails("validate", &err)
                   : verdict(json, ok, ok ? (const char *)found.data : err.text, &err);
    clm_buf_free(&found);
    return code;
}
