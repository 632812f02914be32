/* What is done: an append-only file in the run folder, the truth on restart. Only rank 0 writes it,
 * only after the data a record speaks of is durable. Layout (little-endian; docs/operating.md):
 *   header  magic "CLMJRNL1", version, plan hash, per stage name and number of tasks, CRC-32C
 *   record  length, kind, body, CRC-32C of all before; kinds: outcome, stamp (time, ranks)
 * Nothing is ever rewritten; a torn tail is cut off when the run is resumed. */
#ifndef CLM_CLUSTER_JOURNAL_H
#define CLM_CLUSTER_JOURNAL_H

#include "collimate/base/heap.h"
#include "collimate/plan/task.h"

#define CLM_JOURNAL_NAME "journal"

typedef struct clm_journal clm_journal;

typedef enum clm_stamp_kind { CLM_STAMP_LAUNCH = 1, CLM_STAMP_EPOCH = 2 } clm_stamp_kind;
/** When: for people and `status`, never for results. */
typedef struct clm_stamp {
    clm_stamp_kind kind;
    double unix_s;
    int32_t ranks, slots;
} clm_stamp;

/** Called for every record, in the order written; false ends the reading with err. */
typedef struct clm_journal_reader {
    bool (*outcome)(void *ctx, const clm_outcome *o, clm_err *err); /* NULL: not wanted */
    bool (*stamp)(void *ctx, const clm_stamp *m, clm_err *err);     /* NULL: not wanted */
    void *ctx;
} clm_journal_reader;

typedef struct clm_journal_info {
    uint64_t plan_hash;
    int64_t outcomes, stamps;
    int64_t bytes;      /* of header and whole records                      */
    int64_t torn_bytes; /* behind them: cut off by open, only told by read  */
    bool locked;        /* open: false when the file system has no locks    */
} clm_journal_info;

/** Take FOLDER for one run: it and an empty FOLDER/journal are made where they are not there, and no other run can
 *  take it until the journal is closed.
 *  Errors CLM_E_ARG another run is at work in the folder; CLM_E_WRITE. */
CLM_MUST bool clm_journal_claim(const char *folder, clm_journal **out, clm_err *err);
/** Begin or resume a claimed one: reads what is there, then cuts a torn tail.
 *  Errors CLM_E_ARG the journal is of another plan; CLM_E_FORMAT it is no journal; CLM_E_WRITE, CLM_E_IO; or what
 *         `reader` said. */
CLM_MUST bool clm_journal_begin(clm_journal *j, const clm_plan *plan, const clm_journal_reader *reader,
                                clm_journal_info *info, clm_err *err);
/** Add one record to b, to be written later by clm_journal_append. */
CLM_MUST bool clm_journal_pack(clm_buf *b, const clm_outcome *o, clm_err *err);
CLM_MUST bool clm_journal_pack_stamp(clm_buf *b, const clm_stamp *m, clm_err *err);
/** The packed records of b, one after another. */
void clm_journal_unpack(const clm_buf *b, const clm_journal_reader *reader);
/** Write packed records behind the last and fdatasync. On failure (CLM_E_WRITE) the file is cut back
 *  to what it was; so it fails, too, when the folder is no longer where it was. May be called from another thread than open, one call at a time. */
CLM_MUST bool clm_journal_append(clm_journal *j, const clm_buf *records, clm_err *err);
void clm_journal_close(clm_journal *j); /* NULL is fine */

/** Read without lock or change, also while a run is at work. Names and counts of the stages go to
 *  `stages` (room for 64; n_stages set) unless NULL.
 *  Errors CLM_E_NOTFOUND no journal; CLM_E_FORMAT; CLM_E_IO. */
CLM_MUST bool clm_journal_read(const char *folder, const clm_journal_reader *reader, clm_stage stages[64],
                               int *n_stages, clm_journal_info *info, clm_err *err);

#endif
