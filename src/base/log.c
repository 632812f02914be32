#include "collimate/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static clm_level most_level = CLM_LOG_INFO;
static int log_rank = -1;

void clm_log_setup(clm_level most, int rank) {
    most_level = most;
    log_rank = rank;
}

void clm_log(clm_level level, const char *fmt, ...) {
    if (level > most_level) return;
    char line[1200];
    int n = 0;
    if (level == CLM_LOG_ERROR) n += snprintf(line, sizeof line, "collimate: ");
    if (log_rank >= 0 && level >= CLM_LOG_BLOCK)
        n += snprintf(line + n, sizeof line - (size_t)n, "[rank %d] ", log_rank);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m < 0) return;
    n += m;
    if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0) return; /* nobody left to tell */
}
