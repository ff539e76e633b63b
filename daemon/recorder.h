/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The recorder: keeps what was denied, in memory and in the history on disk, and tells it to the tool. Nobody waits
 * for it; when it is stopped or dead, records queue in the ring, and what doesn't fit there is counted.
 *
 * Run with the descriptors of enum start_fd, as its own uid. Ends with LEASH_STOP or SIGTERM, and when the leash ends:
 * then keeper and gate are dead, and it notes how many accesses the kernel let go.
 */
#ifndef MAILWARD_RECORDER_H
#define MAILWARD_RECORDER_H

int recorder_run(void); /* the exit status of the process */

#endif
