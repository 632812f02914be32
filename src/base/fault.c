#include "collimate/base/fault.h"
#include "collimate/base/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef CLM_FAULTS

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool asked_environment, all_later;
static char armed[16];
static int64_t strike_at, passages;
static int strike_errno;

static bool errno_named(const char *name, int *out) {
    static const struct {
        const char *name;
        int value;
    } known[] = {{"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"EIO", EIO},
                 {"EACCES", EACCES}, {"ENOMEM", ENOMEM}, {"EINTR", EINTR}, {"ESTALE", ESTALE}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *out = known[i].value;
        return true;
    }
    int64_t number;
    if (!clm_text_int(name, &number) || number < 1 || number > 4095) return false;
    *out = (int)number;
    return true;
}

/* with the lock held */
static bool arm(const char *spec) {
    asked_environment = true;
    armed[0] = 0;
    passages = 0;
    if (!spec) return true;
    char copy[64];
    if (strlen(spec) >= sizeof copy) return false;
    memcpy(copy, spec, strlen(spec) + 1);
    char *k = strchr(copy, ':');
    char *name = k ? strchr(k + 1, ':') : NULL;
    if (!name || k - copy >= (ptrdiff_t)sizeof armed) return false;
    *k++ = 0, *name++ = 0;
    all_later = clm_text_ends(k, "+");
    if (all_later) k[strlen(k) - 1] = 0;
    if (!clm_text_int(k, &strike_at) || strike_at < 1 || !errno_named(name, &strike_errno)) return false;
    memcpy(armed, copy, strlen(copy) + 1);
    return true;
}

bool clm_fault_arm(const char *spec) {
    pthread_mutex_lock(&lock);
    bool ok = arm(spec);
    pthread_mutex_unlock(&lock);
    return ok;
}

bool clm_fault(const char *point) {
    pthread_mutex_lock(&lock);
    if (!asked_environment) (void)arm(getenv("CLM_FAULT")); /* allow: this is how tests reach a program */
    bool strikes = false;
    if (strcmp(point, armed) == 0) {
        passages++;
        strikes = all_later ? passages >= strike_at : passages == strike_at;
    }
    int code = strike_errno;
    pthread_mutex_unlock(&lock);
    if (strikes) errno = code;
    return strikes;
}

int64_t clm_fault_count(void) {
    pthread_mutex_lock(&lock);
    int64_t n = passages;
    pthread_mutex_unlock(&lock);
    return n;
}

#endif
