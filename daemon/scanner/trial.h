/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A trial: something is done in a child first, that may crash, never end or take all memory. Who asks for it goes on
 * meanwhile, and learns of a death as of any other child's.
 */
#ifndef MAILWARD_TRIAL_H
#define MAILWARD_TRIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TRIAL_TEXT 256

struct trial_limits {
	uint64_t wall_ns; /* from the fork to the end */
	uint64_t memory;  /* bytes besides what the caller has; UINT64_MAX: no limit */
	unsigned cpu_s;
	int nice;
	int keep[2]; /* the descriptors that it keeps, besides standard input, output and error; ascending */
};

/* Shared with the child: what it writes there is to be taken for hostile. */
struct trial_page {
	bool well;         /* the work was done, and ended well */
	uint64_t identity; /* the work's own */
	char text[TRIAL_TEXT];
	char file[TRIAL_TEXT]; /* of `folder`, the one that was open when it died; empty: none was */
};

struct trial {
	pid_t pid; /* 0: none runs */
	uint64_t until_ns, killed_ns;
	bool late;
	struct trial_page *page;
	char why[TRIAL_TEXT]; /* of the latest one: how it died; empty: it did not */
};

/* Forks; work() is done in the child, whose death by a signal notes which file of the folder (a descriptor) was open.
 * work() fills in the page, zeroed, and returns. 0, or -errno: it could not begin. One at a time. */
int trial_begin(struct trial *trial, const struct trial_limits *limits, int folder,
		void (*work)(void *owner, struct trial_page *page), void *owner);

/* A child of ours has ended. true: it was the trial, and page and why say what came of it. */
bool trial_ended(struct trial *trial, pid_t pid, int status);

void trial_turn(struct trial *trial, uint64_t now); /* call it often: ends one that takes too long */

/* It is not wanted any more: its death comes as any other. */
void trial_drop(struct trial *trial);

#endif
