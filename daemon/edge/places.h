/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the keeper takes from the file system, once, at start: its folders, the lock, the sockets, the programs that it
 * will start again and again. Later it uses the descriptors alone. Every call may wait for a disk.
 *
 * All return 0 or a descriptor, or -errno, and then places_why() is one sentence about it.
 */
#ifndef MAILWARD_PLACES_H
#define MAILWARD_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#define FALLBACK_RECORDER 65281u
#define FALLBACK_LOADER 65282u
#define FALLBACK_WORKER 65283u

struct identity {
	unsigned uid, gid;
	bool is_fallback; /* there is no such user; a fixed number is used */
};
void places_identity(const char *user, unsigned fallback, struct identity *identity_out);

/* The folder `path`, made (0755, with its parents) where it is missing. It must be ours: owned by root or by the
 * caller's uid, and writable by nobody else. Returns a descriptor. */
int places_folder(const char *path);

/* parent/name, 0700, of that owner. What lies in it changes hands too where the folder did (a fallback number used
 * before the system user was made). Returns a descriptor. */
int places_subfolder(int parent, const char *name, const struct identity *owner);

/* RUNTIME/lock; held until the descriptor is closed. -EBUSY: somebody else has it. */
int places_lock(int runtime);

/* Listening SOCK_SEQPACKET socket runtime/name. group: 0660 for it, or, where that is negative, 0600. */
int places_listen(int runtime, const char *name, int group);

int places_own_executable(void);
/* mailward-scanner beside ourselves, else in PREFIX/libexec/mailward. path_out: where it is looked for last. */
int places_scanner(void);

/* Removes the sockets and the lock. */
void places_leave(int runtime);

const char *places_why(void);

#endif
