/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of the selftest: made in a watched folder by root, tried by somebody else, removed. The folder may be any
 * user's, who may do with names in it what he likes: what was made is known by its inode.
 */
#ifndef MAILWARD_BAIT_H
#define MAILWARD_BAIT_H

#include <stdbool.h>

#define BAIT_CANARY 40 /* bytes of a canary (scanner/canary.h) */

struct bait {
	int folder; /* borrowed */
	int fd;     /* O_PATH */
	char name[64];
};

/* Mode 0755, root's, closed after writing; no program: an exec that nobody refuses ends with ENOEXEC. Its content holds
 * the canary, or where it is not to be infected one byte less of it, and is no other file's. of_mail: with the mark of
 * origin that the gate puts on what mail software wrote. 0 or -errno. */
int bait_make(struct bait *bait, int folder, const unsigned char canary[BAIT_CANARY], bool infected, bool of_mail);
void bait_remove(struct bait *bait);

/* Removes what earlier runs left there: root's files whose names begin as ours do. */
void bait_sweep(int folder);

/* May anything be executed there (no noexec)? */
bool bait_may_run(int folder);

#endif
