/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each kind of mail store can bear (Dovecot 2.3, Postfix 3.7; seen by experiment, README "Stores"). Pure
 * decisions about names; no system calls.
 */
#ifndef MAILWARD_STORE_H
#define MAILWARD_STORE_H

#include <stdbool.h>
#include <stddef.h>

enum store { STORE_FILES = 0, STORE_MAILDIR, STORE_SDBOX, STORE_MBOX, STORE_MDBOX, STORE_POSTFIX_QUEUE, STORES };
#define STORE_NAMES                                                                                                    \
	{                                                                                                              \
		"files", "maildir", "sdbox", "mbox", "mdbox", "postfix-queue"                                          \
	}

/* May an access wait for a scan, and be denied? mbox and mdbox hold many messages in one file, and qmgr stops all mail
 * of the host at one EPERM: false there. */
bool store_may_hold(enum store store);

/* May an infected message be taken out of it although nobody is ever denied? In a queue whose reader puts aside by
 * itself what it finds gone (ENOENT) or cut short. */
bool store_may_empty(enum store store);

/* Does this path lie in one of the folders of messages that Postfix goes on with? Not in corrupt/, where it puts what
 * it finds gone or cut short. queue: the watch's folder. Both absolute. */
bool store_is_queued(const char *queue, const char *path);

/* Whoever hands a message of such a queue on, and so may wait for its verdict, though never be denied: Postfix's
 * delivery agents, of which there are many. Not qmgr, which is one process for all mail of the host, nor showq, which
 * looks at thousands of messages one after the other. exe: its program's path, not terminated; size 0: not known. */
bool store_may_wait(enum store store, const char *exe, size_t size);

/* Is this one of the store's own control files (indexes, locks, uid lists, ...), which are never scanned, held or
 * denied? path: relative to the watch, without a leading slash. Only in the stores that have such files, and only in a
 * folder where the store keeps them; never say yes to an exec. */
bool store_is_control(enum store store, const char *path);

/* Is this a name that a delivery gives a file only until it is whole (tmp/ of a Maildir, .temp. of sdbox)? Whoever
 * delivers will rename or unlink it: it is not taken away from him. path: absolute. */
bool store_is_transient(enum store store, const char *path);

/* Is this program one that delivers into such a store, and may open what it has just delivered: to index it, or for the
 * next recipient? exe: as above. */
bool store_is_delivery(enum store store, const char *exe, size_t size);

/* May a writer of this store have the file open with O_NONBLOCK, so that even a read lease held for a moment would fail
 * it? Then no lease is taken (fcntl(2), F_SETLEASE). */
bool store_forbids_lease(enum store store);

#endif
