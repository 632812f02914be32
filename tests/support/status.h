/* What the system says of this program's memory. */
#ifndef CLM_TESTS_STATUS_H
#define CLM_TESTS_STATUS_H

#include "collimate/base/text.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** A number of /proc/self/status, KiB; key "VmRSS:" or "VmHWM:", the peak (getrusage's would be that of whoever
 * started this program, too). -1 where there is none. */
static inline int64_t clm_test_status_kb(const char *key) {
    char text[4096], digits[32];
    int64_t kb = 0;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *at = strstr(text, key);
    if (!at) return -1;
    at += strcspn(at, "0123456789");
    (void)snprintf(digits, sizeof digits, "%.*s", (int)strspn(at, "0123456789"), at);
    return clm_text_int(digits, &kb) ? kb : -1;
}

#endif
