/* Monotonic seconds, for figures and leases; never for results. */
#ifndef CLM_BASE_CLOCK_H
#define CLM_BASE_CLOCK_H

#include <time.h>

static inline double clm_clock_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/** CPU seconds of the calling thread. */
static inline double clm_clock_thread_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void clm_nap_us(long us) {
    struct timespec t = {us / 1000000, (us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

#endif
