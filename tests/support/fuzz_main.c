/* fuzz_NAME             every seed, then CLM_FUZZ_RUNS mutations of each (default 4000)
 * fuzz_NAME SEED RUN    one of them again, as the message of a crash tells
 * fuzz_NAME FILE        the bytes of a file, e.g. what libFuzzer saved
 * fuzz_NAME seeds DIR   writes the seeds as files, for libFuzzer to begin with */
#include "support/fuzz.h"
#include "collimate/base/file.h"
#include "collimate/base/rng.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1 << 16 };

static const char *program;
static int64_t seed_now, run_now;

static void tell(void) {
    char text[200];
    int n = snprintf(text, sizeof text, "\nagain: %s %lld %lld\n", program, (long long)seed_now,
                     (long long)run_now);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) return;
}
static void on_signal(int s) {
    tell();
    (void)signal(s, SIG_DFL);
    (void)raise(s);
}
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
static void hook(void) { __sanitizer_set_death_callback(tell); }
#else
static void hook(void) {}
#endif

static int64_t below(uint64_t step, int64_t n) {
    return clm_rng_below((uint64_t)seed_now, (uint64_t)run_now, step, n);
}

/* a few random edits; run 0 is the seed itself */
static size_t mutate(uint8_t *b, size_t n) {
    static const uint8_t telling[] = {0,   1,   0x7f, 0x80, 0xff, '"', '{',  '}',
                                      '[', ']', ',',  '-',  '.',  'e', '\\', '0'};
    int64_t edits = run_now ? 1 + below(0, 4) : 0;
    for (uint64_t e = 1; e <= (uint64_t)edits; e++) {
        uint64_t k = 16 * e;
        size_t at = n ? (size_t)below(k, (int64_t)n) : 0,
               len = n ? 1 + (size_t)below(k + 1, (int64_t)(n - at)) : 0;
        if (len > 64) len = 1 + len % 64;
        switch (n ? below(k + 2, 7) : 6) {
        case 0: b[at] ^= (uint8_t)(1u << below(k + 3, 8)); break;
        case 1: b[at] = (uint8_t)below(k + 3, 256); break;
        case 2: b[at] = telling[below(k + 3, sizeof telling)]; break;
        case 3: n = at; break; /* cut off */
        case 4:                /* take out */
            memmove(b + at, b + at + len, n - at - len);
            n -= len;
            break;
        case 5: /* say again */
            if (n + len > MOST) break;
            memmove(b + at + len, b + at, n - at);
            n += len;
            break;
        default: /* put in */
            if (n + 1 > MOST) break;
            memmove(b + at + 1, b + at, n - at);
            b[at] = telling[below(k + 3, sizeof telling)];
            n++;
        }
    }
    return n;
}

static void run_bytes(const uint8_t *bytes, size_t n) {
    /* an exact copy, so that the sanitizer sees the first byte too many */
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact) exit(2);
    memcpy(exact, bytes, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static int replay(const char *path) {
    clm_err err = CLM_ERR_NONE;
    clm_buf b = {0};
    if (!clm_file_read(path, (size_t)1 << 30, &b, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    run_bytes(b.data, b.n);
    clm_buf_free(&b);
    return 0;
}

static int write_seeds(const char *folder) {
    static uint8_t buf[MOST];
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    for (int k = 0;; k++) {
        size_t n = clm_fuzz_seed(k, buf, sizeof buf);
        if (!n) return 0;
        if (clm_path_format(path, &err, "%s/seed-%d", folder, k) &&
            clm_file_publish(path, buf, n, false, &err))
            continue;
        (void)fprintf(stderr, "%s\n", err.text);
        return 2;
    }
}

int main(int argc, char **argv) {
    static uint8_t seed[MOST], buf[MOST];
    int64_t only_seed = -1, only_run = -1, runs = 4000, total = 0;
    program = argv[0];
    hook();
    (void)signal(SIGILL, on_signal);
    (void)signal(SIGABRT, on_signal);
    if (argc == 2) return replay(argv[1]);
    if (argc == 3 && strcmp(argv[1], "seeds") == 0) return write_seeds(argv[2]);
    if (argc == 3 && !(clm_text_int(argv[1], &only_seed) && clm_text_int(argv[2], &only_run))) return 2;
    const char *wish = getenv("CLM_FUZZ_RUNS");
    if (wish && !clm_text_int(wish, &runs)) return 2;
    for (seed_now = 0;; seed_now++) {
        size_t n = clm_fuzz_seed((int)seed_now, seed, sizeof seed);
        if (!n) break;
        if (only_seed >= 0 && seed_now != only_seed) continue;
        for (run_now = only_run >= 0 ? only_run : 0; run_now <= (only_run >= 0 ? only_run : runs);
             run_now++, total++) {
            memcpy(buf, seed, n);
            run_bytes(buf, mutate(buf, n));
        }
    }
    printf("%lld inputs from %lld seeds\n", (long long)total, (long long)seed_now);
    return total ? 0 : 1;
}
