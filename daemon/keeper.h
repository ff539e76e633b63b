/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keeper: the process that the service manager starts and watches. It makes what the others share, starts them,
 * ends those that stand still, starts them again, and answers for a dead gate. It parses nothing but fixed frames.
 */
#ifndef MAILWARD_KEEPER_H
#define MAILWARD_KEEPER_H

#include <stdbool.h>

struct keeper_options {
	const char *config, *runtime, *state, *definitions; /* absolute paths */
	int ready_fd; /* a byte is written here when ready; -1: nobody waits for it */
};

/* Returns an exit code: 0 after SIGTERM; 2: the policy is wrong; 1: anything else. It has then said why. */
int keeper_run(const struct keeper_options *options);

#endif
