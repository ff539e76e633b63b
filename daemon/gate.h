/* SPDX-License-Identifier: GPL-2.0-only */
/* The gate: every open and exec that the kernel asks about is answered here, and nowhere else. */
#ifndef MAILWARD_GATE_H
#define MAILWARD_GATE_H

/* Runs as the child of the keeper, with the descriptors of enum start_fd. Ends only with the process; returns an exit
 * code where it could not start. */
int gate_run(void);

#endif
