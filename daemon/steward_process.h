/* SPDX-License-Identifier: GPL-2.0-only */
/* The steward: the process that touches files, so that the gate need not. Its rooms: steward_state.h. */
#ifndef MAILWARD_STEWARD_PROCESS_H
#define MAILWARD_STEWARD_PROCESS_H

/* Runs as the child of the keeper, with the descriptors of enum start_fd. Returns an exit code. */
int steward_run(void);

#endif
