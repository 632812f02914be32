/* Messages between master and workers, as values and as bytes. Control only: a message says who
 * does what; voxels and fields travel through files. */
#ifndef CLM_CLUSTER_WIRE_H
#define CLM_CLUSTER_WIRE_H

#include "collimate/cluster/bytes.h"
#include "collimate/plan/task.h"

#define CLM_WIRE_VERSION 1
#define CLM_MESSAGE_MAX 16384 /* bytes; small enough that a dying TCP peer cannot take the sender along */

typedef enum clm_msg_kind {
    CLM_MSG_HELLO = 1, /* worker: I am here              slots, host                       */
    CLM_MSG_STAGE,     /* master: this stage begins      stage, count = tasks left to do   */
    CLM_MSG_TASK,      /* master: do this                task                              */
    CLM_MSG_OUTCOME,   /* worker: this became of it      outcome                           */
    CLM_MSG_SYNC,      /* master: make written data durable   count = epoch                */
    CLM_MSG_SYNCED,    /* worker: it is, or why not      count = epoch, seconds, err       */
    CLM_MSG_ALIVE,     /* both: nothing new                                                */
    CLM_MSG_STOP,      /* master: take nothing more, end what runs within `seconds`        */
    CLM_MSG_DRAINED,   /* worker: nothing runs here any more   count = tasks abandoned     */
    CLM_MSG_FAULT,     /* worker: this rank cannot go on       err                         */
    CLM_MSG_QUIT,      /* master: the run is over              err, count = tasks failed   */
    CLM_MSG_KIND_COUNT
} clm_msg_kind;

/** One message; the fields its kind does not name are zero. */
typedef struct clm_msg {
    clm_msg_kind kind;
    int32_t slots; /* tasks this worker runs at a time             */
    int32_t host;  /* lowest rank on the same host                 */
    int32_t stage;
    int64_t count;
    double seconds;
    clm_task task;
    clm_err err;
    clm_outcome outcome;
} clm_msg;

/** Bytes of m into buf[CLM_MESSAGE_MAX]; every valid message fits. Returns their number. */
size_t clm_wire_pack(const clm_msg *m, unsigned char buf[CLM_MESSAGE_MAX]);
/** Errors CLM_E_FORMAT: another version, unknown kind, wrong length, a value out of range; m zeroed. */
CLM_MUST bool clm_wire_unpack(const unsigned char *bytes, size_t n, clm_msg *m, clm_err *err);

/** The outcome record alone, as the journal keeps it. Figures that are NaN take no space. */
void clm_wire_put_outcome(clm_writer *w, const clm_outcome *o);
/** Sets r->bad when the bytes are no outcome. */
void clm_wire_get_outcome(clm_reader *r, clm_outcome *o);

#endif
