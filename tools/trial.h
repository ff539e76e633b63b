/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What fanotify(7) can do on this kernel, tried on a tmpfs that is mounted nowhere: a child's open is held and refused.
 * No other file system is marked, and nothing stays.
 */
#ifndef MAILWARD_TRIAL_H
#define MAILWARD_TRIAL_H

#include <stdbool.h>

struct trial {
	bool permission;      /* an open was held, and refused: without it there is no guard */
	bool exec;            /* FAN_OPEN_EXEC_PERM: execs are told apart */
	bool names;           /* FAN_REPORT_TARGET_FID: moves and new names are told; without it there is no guard */
	bool evictable;       /* FAN_MARK_EVICTABLE: ignore marks that go with the inode from the cache */
	bool report_fd_error; /* FAN_REPORT_FD_ERROR: an event whose descriptor could not be made says why */
	bool pidfd;           /* FAN_REPORT_PIDFD */
	char why[160];        /* permission or names is false: why */
};

/* Takes root. Two seconds at most. */
void trial_run(struct trial *trial);

#endif
