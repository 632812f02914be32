/* How much memory this process may take: of the machine, and of the control groups it is in (a batch system's job, a
 * container, a service). Not of others' making: what they take of it is not known here. */
#ifndef CLM_BASE_ROOM_H
#define CLM_BASE_ROOM_H

#include "collimate/base/err.h"

/** Bytes: the least of the machine's memory and the limits of its groups, of both versions, and of the groups above them.
 *  What cannot be read limits nothing. root: "" (another one in tests) before /proc and /sys. */
double clm_room_bytes(const char *root);

#endif
