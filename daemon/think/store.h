/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each kind of mail store can bear (Dovecot 2.3, Postfix 3.7; seen by experiment, README "Stores"). Pure
 * decisions about names; no system calls.
 */
#ifndef MAILWARD_STORE_H
#define MAILWARD_STORE_H

#include <stdbool.h>

enum store { STORE_FILES = 0, STORE_MAILDIR, STORE_SDBOX, STORE_MBOX, STORE_MDBOX, STORE_POSTFIX_QUEUE, STORES };
#define STORE_NAMES                                                                                                    \
	{                                                                                                              \
		"files", "maildir", "sdbox", "mbox", "mdbox", "postfix-queue"                                          \
	}

/* May an access wait for a scan, and be denied? mbox and mdbox hold many messages in one file, and qmgr stops all mail
 * of the host at one EPERM: false there. */
bool store_may_hold(enum store store);

/* Is this one of the store's own control files (indexes, locks, uid lists, ...), which are never scanned, held or
 * denied? path: relative to the watch, without a leading slash. Only in the stores that have such files, and only in a
 * folder where the store keeps them; never say yes to an exec. */
bool store_is_control(enum store store, const char *path);

/* Is this a name that a delivery gives a file only until it is whole (tmp/ of a Maildir, .temp. of sdbox)? Whoever
 * delivers will rename or unlink it: it is not taken away from him. path: absolute. */
bool store_is_transient(enum store store, const char *path);

/* May a writer of this store have the file open with O_NONBLOCK, so that even a read lease held for a moment would fail
 * it? Then no lease is taken (fcntl(2), F_SETLEASE). */
bool store_forbids_lease(enum store store);

#endif
