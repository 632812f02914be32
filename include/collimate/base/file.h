/* Files: read whole, publish whole. A published file is the old one or the new one, never a part:
 * it is written as ".NAME.tmp.PID.N" in the same folder and renamed. Durability across a power cut
 * is the caller's (clm_file_sync_tree per epoch, or `durable`). */
#ifndef CLM_BASE_FILE_H
#define CLM_BASE_FILE_H

#include "collimate/base/text.h"

typedef enum clm_path_kind { CLM_PATH_NONE, CLM_PATH_FILE, CLM_PATH_FOLDER, CLM_PATH_OTHER } clm_path_kind;
/** What stands at path (symbolic links followed); NONE also when a parent is missing. */
clm_path_kind clm_path_kind_of(const char *path);

/** Read a whole regular file into b (b->n set; one spare zero byte follows).
 *  Errors CLM_E_NOTFOUND no such file; CLM_E_IO; CLM_E_FORMAT larger than max_bytes. */
CLM_MUST bool clm_file_read(const char *path, size_t max_bytes, clm_buf *b, clm_err *err);
/** At most n bytes from its beginning into b. Errors as clm_file_read. */
CLM_MUST bool clm_file_head(const char *path, size_t n, clm_buf *b, clm_err *err);
/** It will be read soon: let the system begin to fetch it. Missing is fine, and so is everything else. */
void clm_file_prefetch(const char *path);
/** Was the file at path changed within the last `seconds`, by the clock of this machine? */
bool clm_file_is_fresh(const char *path, double seconds);
/** Write and rename; parent folders are made. durable: fsync file and folder, too. A file that takes another's place is
 *  synced in any case, so that after a power cut the one or the other is there, whole. */
CLM_MUST bool clm_file_publish(const char *path, const void *bytes, size_t n, bool durable, clm_err *err);
/** A file on its way: written piece by piece, published whole. Zero-initialise; every draft that was opened ends
 *  by clm_draft_publish or clm_draft_drop. */
typedef struct clm_draft {
    char path[CLM_PATH_MAX], tmp[CLM_PATH_MAX];
    int fd;
    bool open;
    uint64_t bytes; /* put so far */
} clm_draft;
CLM_MUST bool clm_draft_open(const char *path, clm_draft *d, clm_err *err); /* parent folders are made */
CLM_MUST bool clm_draft_put(clm_draft *d, const void *bytes, size_t n, clm_err *err);
CLM_MUST bool clm_draft_publish(clm_draft *d, bool durable, clm_err *err); /* failing, nothing is left */
void clm_draft_drop(clm_draft *d);                                         /* also when not open */
CLM_MUST bool clm_folder_make(const char *path, clm_err *err);             /* with parents; fine if there */
/** syncfs of the file system that holds path. */
CLM_MUST bool clm_file_sync_tree(const char *path, clm_err *err);
/** Are all folders in this one on its file system, so that syncing that is enough? Errors CLM_E_ARG one is not;
 *  CLM_E_IO, CLM_E_NOTFOUND. */
CLM_MUST bool clm_folder_is_one(const char *path, clm_err *err);
/** Remove a file; missing is fine. */
CLM_MUST bool clm_file_remove(const char *path, clm_err *err);
/** Remove a folder and all below it, never following symbolic links; missing is fine. */
CLM_MUST bool clm_folder_remove(const char *path, clm_err *err);
/** Remove what publishing left half-way when its process was killed (".NAME.tmp.PID.N"), here and below,
 *  never following symbolic links. One that is being written now fails; a missing folder is fine. */
CLM_MUST bool clm_folder_sweep(const char *path, clm_err *err);
/** Add to *stamp what tells the file at path, or all files below that folder, from others: names below it, sizes and
 *  times of change. A path inside a file (a dataset) stands for that file. One stat a file: for the rank that needs it.
 *  Errors CLM_E_NOTFOUND, CLM_E_IO */
CLM_MUST bool clm_tree_stamp(const char *path, uint64_t *stamp, clm_err *err);
/** Names in a folder (without "." and ".."), sorted bytewise; free with clm_names_free. */
typedef struct clm_names {
    char **name;
    int64_t n;
} clm_names;
CLM_MUST bool clm_folder_list(const char *path, clm_names *out, clm_err *err);
void clm_names_free(clm_names *names);

#endif
