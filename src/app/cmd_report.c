#include "collimate/app/commands.h"
#include "collimate/app/report.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: collimate report RUN\n\n"
    "Write RUN/report/index.html: job, metrics before and after, pictures, histograms, stages, failed blocks. The\n"
    "page and its pictures need no network. collimate align does the same at its end (report.enabled).\n"
    "Figures and maps that collimate evaluate left in RUN/evaluation are shown, too.\n\n"
    "Examples:\n"
    "  collimate report out\n"
    "  collimate evaluate out --maps out/evaluation && collimate report out\n";

int clm_cmd_report(int argc, char **argv) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_json *v = NULL;
    clm_config *c = NULL;
    clm_run *run = NULL;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)printf("%s", help);
        return CLM_EXIT_DONE;
    }
    bool ok = argc == 2 && argv[1][0] != '-';
    if (!ok) (void)clm_fail(&err, CLM_E_ARG, "one run folder, and nothing else; see --help");
    ok = ok && clm_path_join(path, argv[1], "job.json", &err) && clm_json_read(path, &v, &err) &&
         clm_config_new(&c, &err) && clm_config_put(c, v, path, &err) &&
         clm_config_put_text(c, "out", argv[1], &err) && clm_run_open(c, &run, &err) &&
         clm_report_write(run, true, &err);
    if (ok) (void)printf("%s/report/index.html\n", argv[1]);
    clm_run_close(run);
    clm_config_free(c);
    clm_json_free(v);
    return ok ? CLM_EXIT_DONE : clm_command_fails("report", &err);
}
