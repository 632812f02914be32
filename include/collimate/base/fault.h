/* Planted failures, for tests only: with -DCLM_FAULTS=ON the k-th passage of a named point fails as the
 * system would fail there. Without it the points are the constant false and cost nothing.
 * Points: heap, arena (no memory); create, open, read, write, fsync, rename, mkdir (files); short (a read or
 * a write that does half). */
#ifndef CLM_BASE_FAULT_H
#define CLM_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef CLM_FAULTS
/** True, and errno set, when this passage of `point` is to fail. */
bool clm_fault(const char *point);
/** "POINT:K:ERRNO", e.g. "write:17:ENOSPC": the 17th write from now on fails; "17+": that and all later
 *  ones; "17~": about one in 17, the same ones each time. ERRNO is one of a few names or a number; STALL does
 *  not fail but takes 50 ms. NULL disarms. False: not understood, disarmed.
 *  Until the first call the environment variable CLM_FAULT says the same, and then stderr tells when it strikes
 *  ("planted: ..."); with "POINT:count" how many passages there were, at exit. Process-wide; the
 *  variable's passages are counted together with those of forked processes. */
bool clm_fault_arm(const char *spec);
/** Passages of the armed point so far; beyond K the fault has struck. */
int64_t clm_fault_count(void);
#else
#define clm_fault(point) false
#endif

/** As many bytes as this call may ask for: n, or about half of it. */
#define clm_fault_short(n) (clm_fault("short") ? ((n) + 1) / 2 : (n))

#endif
