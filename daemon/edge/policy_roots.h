/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file systems that a policy's paths lie on, and the folders that are to be marked. Used by the policy reader, a
 * short-lived child that may wait for a disk, and by `mailward check`; never by the gate or the keeper.
 */
#ifndef MAILWARD_POLICY_ROOTS_H
#define MAILWARD_POLICY_ROOTS_H

#include "mounts.h"
#include "policy.h"
#include "policy_text.h"

/* The mounts of this process's namespace. 0 or -errno. */
int host_mounts(struct mounts *mounts);

/* Looks at each watch's path: follows links (the real path goes into the table, with a warning), refuses what is not a
 * folder, `enforce` where calls may never end, the file system of "/" without leave, and watches that are the same
 * after all. What does not exist is no error. Touches nothing on remote file systems. false: complaints has errors. */
bool policy_settle(struct policy *policy, const struct mounts *mounts, struct complaints *complaints);

/* The folders that the watches consist of: each one's own, then those of the mounts below it. */
struct policy_root {
	uint32_t watch;
	int fd; /* O_RDONLY of the folder, close-on-exec */
};
struct policy_roots {
	size_t count;
	struct policy_root list[ROOTS_MAX]; /* in the order of the watches */
	char why[WATCHES_MAX][160];         /* empty: all is there; else what is missing of this watch */
	char file_system[WATCHES_MAX][32];  /* type, empty where not known */
	int patience_ms;                    /* left for remote file systems that do not answer */
};

/* Opens them, those of watches that are off too. A watch that must not be marked (see policy_settle()) gets a `why`
 * here, not an error. */
void policy_roots_open(const struct policy *policy, const struct mounts *mounts, struct policy_roots *roots);
void policy_roots_close(struct policy_roots *roots);

#endif
