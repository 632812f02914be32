/* Lines for people on stderr, one write(2) each so that ranks do not interleave.
 * Layers below job do not log: they return figures. */
#ifndef CLM_BASE_LOG_H
#define CLM_BASE_LOG_H

/** Levels by frequency. */
typedef enum clm_level {
    CLM_LOG_ERROR, /* a run or a block was lost */
    CLM_LOG_INFO,  /* once a run or a stage     */
    CLM_LOG_BLOCK, /* once a block              */
    CLM_LOG_STEP   /* several a block           */
} clm_level;

/** Process-wide; set once at start. rank < 0 leaves the rank out of the lines. */
void clm_log_setup(clm_level most, int rank);
void clm_log(clm_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
