/* Tables as text, line by line: streams in and out of bounded memory, and the few cells of a line that matter.
 * Files only, and "-" for standard input and output. */
#ifndef CLM_BASE_CSV_H
#define CLM_BASE_CSV_H

#include "collimate/base/text.h"

/** A longer line is refused. */
#define CLM_LINE_MAX ((size_t)1 << 20)

typedef struct clm_lines {
    char name[CLM_PATH_MAX]; /* for messages */
    int fd;
    clm_buf b;
    size_t at;    /* next byte of b to look at */
    int64_t base; /* of b's first byte in the file */
    int64_t line; /* number of the line last given, from 1 */
    bool over;
} clm_lines;

/** Errors CLM_E_NOTFOUND, CLM_E_IO */
CLM_MUST bool clm_lines_open(const char *path, clm_lines *out, clm_err *err);
void clm_lines_close(clm_lines *l);
/** The next line without its end ("\n" or "\r\n"); *text is valid until the next call, NULL at the end.
 *  Errors CLM_E_IO; CLM_E_FORMAT a line beyond CLM_LINE_MAX or with a zero byte */
CLM_MUST bool clm_lines_next(clm_lines *l, const char **text, size_t *n, clm_err *err);

/** Where in the file the next line begins. */
static inline int64_t clm_lines_place(const clm_lines *l) { return l->base + (int64_t)l->at; }
/** Go on with the first line that begins at `place` or behind it; its number is no longer known: they count from 1.
 *  Errors CLM_E_IO also for what is no file */
CLM_MUST bool clm_lines_seek(clm_lines *l, int64_t place, clm_err *err);

/** A file being written under another name; it appears whole, by clm_writer_publish, or not at all. */
typedef struct clm_writer {
    char path[CLM_PATH_MAX], temp[CLM_PATH_MAX];
    int fd;
} clm_writer;
CLM_MUST bool clm_writer_open(const char *path, clm_writer *out, clm_err *err);
CLM_MUST bool clm_writer_put(clm_writer *w, const void *bytes, size_t n, clm_err *err);
CLM_MUST bool clm_writer_publish(clm_writer *w, clm_err *err);
/** Give up what was not published; after publish nothing. */
void clm_writer_close(clm_writer *w);

/** A cell of a line, quotes included. */
typedef struct clm_cell {
    const char *text;
    size_t n;
} clm_cell;

/** Cut a line at `delimiter`; inside "..." it does not cut, and "" is a quote. Returns how many cells there are; the
 *  first `cap` of them go to out. -1: a quote that is not closed on this line. */
int64_t clm_csv_split(const char *line, size_t n, char delimiter, clm_cell *out, int64_t cap);
/** The cell without surrounding blanks and quotes. */
clm_cell clm_csv_bare(clm_cell c);
/** Tab, semicolon or comma: the one a header line uses. */
char clm_csv_delimiter(const char *line, size_t n);
/** The whole cell must be one finite number; the nearest double, as clm_text_real, but fast for plain decimals. */
bool clm_csv_number(clm_cell c, double *out);
/** x with six decimals, without zeros at the end (%.17g beyond 1e9); returns its length, at most 32. */
size_t clm_csv_put_number(char out[32], double x);

#endif
