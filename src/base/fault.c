#include "collimate/base/fault.h"
#include "collimate/base/rng.h"
#include "collimate/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifdef CLM_FAULTS

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
enum { STALL = -1, STALL_NS = 50000000 };
static bool asked_environment, all_later, at_random;
static char armed[16];
static int64_t strike_at;
static int strike_errno;
/* of the process; with the environment's fault of all its descendants, too, which share the memory */
typedef struct tally {
    _Atomic int64_t passages;
    atomic_flag quiet; /* has told, or need not */
} tally;
static tally own, *seen = &own;

static bool errno_named(const char *name, int *out) {
    static const struct {
        const char *name;
        int value;
    } known[] = {{"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS},
                 {"EIO", EIO},       {"EACCES", EACCES}, {"ENOMEM", ENOMEM},
                 {"EINTR", EINTR},   {"ESTALE", ESTALE}, {"STALL", STALL}};
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
    (void)atomic_flag_test_and_set(&seen->quiet);
    armed[0] = 0;
    atomic_store(&seen->passages, 0);
    if (!spec) return true;
    char copy[64];
    if (strlen(spec) >= sizeof copy) return false;
    memcpy(copy, spec, strlen(spec) + 1);
    char *k = strchr(copy, ':');
    char *name = k ? strchr(k + 1, ':') : NULL;
    if (!name || k - copy >= (ptrdiff_t)sizeof armed) return false;
    *k++ = 0, *name++ = 0;
    all_later = clm_text_ends(k, "+");
    at_random = clm_text_ends(k, "~");
    if (all_later || at_random) k[strlen(k) - 1] = 0;
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

static void tell_count(void) {
    (void)fprintf(stderr, "planted: %" PRId64 " passages\n", clm_fault_count()); /* allow: to the test */
}

/* with the lock held: this is how tests reach a program */
static void ask_environment(void) {
    char copy[64];
    const char *spec = getenv("CLM_FAULT"); /* allow: only in builds for tests */
    if (spec && clm_text_ends(spec, ":count") && strlen(spec) < sizeof armed) {
        (void)snprintf(copy, sizeof copy, "%.*s:%lld:EIO", (int)strlen(spec) - 6, spec, (long long)INT64_MAX);
        (void)atexit(tell_count);
        spec = copy;
    }
    void *shared = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (spec && shared != MAP_FAILED) seen = shared;
    bool ok = arm(spec);
    if (spec) atomic_flag_clear(&seen->quiet);
    if (!ok)
        (void)fprintf(stderr, "planted: CLM_FAULT=%s is not understood\n", spec); /* allow: to the test */
}

static bool strikes_at(int64_t passage) {
    if (at_random) return clm_rng_below(1, 0, (uint64_t)passage, strike_at) == 0;
    return all_later ? passage >= strike_at : passage == strike_at;
}

bool clm_fault(const char *point) {
    pthread_mutex_lock(&lock);
    if (!asked_environment) ask_environment();
    bool strikes = strcmp(point, armed) == 0 && strikes_at(atomic_fetch_add(&seen->passages, 1) + 1);
    bool tell = strikes && !atomic_flag_test_and_set(&seen->quiet); /* once */
    int code = strike_errno;
    pthread_mutex_unlock(&lock);
    if (tell) (void)fprintf(stderr, "planted: %s\n", point); /* allow: to the test */
    if (!strikes) return false;
    if (code == STALL) {
        const struct timespec t = {.tv_nsec = STALL_NS};
        (void)nanosleep(&t, NULL);
        return false;
    }
    errno = code;
    return true;
}

int64_t clm_fault_count(void) { return atomic_load(&seen->passages); }

#endif
