/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The locks of everybody who writes an mbox: fcntl(2) on the file, and PATH.lock as local(8), procmail and Dovecot make
 * it. While they are held no signal that can be held back ends us: between the first byte and the last the file is
 * neither what it was nor what it is to be.
 */
#ifndef MAILWARD_CLEAN_LOCK_H
#define MAILWARD_CLEAN_LOCK_H

#include <signal.h>
#include <stdbool.h>

#include "clean.h"

struct mbox_locked {
	int folder; /* O_PATH */
	int file;   /* O_RDWR */
	char base[256], lock[300];
	char copying[300], before[300]; /* names for a copy: one that is being made, and a whole one */
	sigset_t signals;
	bool has_lock, has_signals;
};

/* Waits ten seconds at most for each. 0; -EBUSY: somebody works on it; else -errno; and a sentence in removal->text.
 * In each case mbox_unlock() is to be called. No other descriptor of the file may be closed by us in between: that
 * gives an fcntl(2) lock back. */
int mbox_lock(const char *path, struct mbox_locked *locked_out, struct removal *removal);
void mbox_unlock(struct mbox_locked *locked);

#endif
