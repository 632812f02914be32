/* What made an output folder: a JSON file of the command that began it, so that only the same command, on the same
 * inputs, goes on with it. */
#ifndef CLM_JOB_RECORD_H
#define CLM_JOB_RECORD_H

#include "collimate/base/json.h"

/** Below an output folder: journal and record; not part of the result. */
#define CLM_RECORD_FOLDER ".collimate"

typedef struct clm_record {
    const char *out;  /* the output folder                                                  */
    const char *name; /* of the file in OUT/.collimate: "apply.json"                        */
    uint64_t plan;    /* what decides the result but for the voxels read                    */
    uint64_t inputs;  /* stamps of the files read: others under the same names are noticed  */
} clm_record;

/** Has a command left its record in OUT? Without one inputs need not be stamped to be checked. */
bool clm_record_is_there(const clm_record *r);
/** Rank 0, before anything is written: may the command write into OUT?
 *  fresh   true: nothing is there, or what a launch left that was killed before its record: make it all;
 *          false: this very command began it
 *  Errors  CLM_E_ARG another command's, changed inputs, or somebody else's files; CLM_E_WRITE no folder */
CLM_MUST bool clm_record_check(const clm_record *r, bool *fresh, clm_err *err);
/** Last of what is prepared: with it the folder is complete. command is kept as it is, with the record's own keys
 *  beside; what was written before is made durable first. */
CLM_MUST bool clm_record_write(const clm_record *r, const clm_json *command, clm_err *err);

#endif
