/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fanotify group that asks (FAN_CLASS_CONTENT, fanotify(7)). Every access taken from it is answered exactly once,
 * with accesses_answer(). The group outlives us: the keeper holds it too, answers for us by our notes (shared.h) if we
 * end, and lets a successor read on.
 *
 * Descriptors are handed to a thread of ours to be closed: the last close of an unlinked big file takes long.
 */
#ifndef MAILWARD_ACCESSES_H
#define MAILWARD_ACCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "shared.h"
#include "verdict.h"

#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000 /* kernel 6.13: a failed open shows as a negative descriptor */
#endif

struct access {
	int fd;       /* the file, O_RDONLY; stays open until accesses_close() */
	int32_t pid;  /* in our pid namespace; 0: outside */
	uint8_t kind; /* enum access_kind */
};

enum access_next {
	ACCESS_NONE,    /* nothing more now, or the end of a batch: the group is readable again if there is more */
	ACCESS_TAKEN,   /* access_out is to be answered */
	ACCESS_REFUSED, /* the kernel refused one itself: a write lease on the file, no descriptors. access_out->pid may
			 * be known, access_out->fd is -errno */
};

struct accesses;

/* Borrows the descriptors; proc_fd: directory /proc. notes: see shared.h. nofile: our RLIMIT_NOFILE; in_use:
 * descriptors that are not events. 0 or -errno. */
int accesses_open(struct accesses **accesses_out, int group_fd, int proc_fd, struct gate_notes *notes, uint32_t nofile,
		  uint32_t in_use);

/* Reads on only while there are descriptors for it: what doesn't fit in stays in the kernel's queue. */
enum access_next accesses_next(struct accesses *accesses, struct access *access_out);
/* What the keeper shall answer, should we end now. Call as soon as it is known. */
void accesses_note(struct accesses *accesses, const struct access *access, enum answer answer, uint32_t watch);
/* Answers; the descriptor stays open. Where more than 200 wait for an answer it is given with others by
 * accesses_give(), at most 5 us for each of them later: see accesses.c. The keeper gives it should we end before. */
void accesses_answer(struct accesses *accesses, const struct access *access, enum answer answer);
/* Gives what was gathered, if it is time; to be called in each turn. Some hundreds at the most: then it is due again.
 */
void accesses_give(struct accesses *accesses, uint64_t now);
/* When accesses_give() has something to do; UINT64_MAX: nothing is gathered. */
uint64_t accesses_due(const struct accesses *accesses);
/* Gives all of it now. */
void accesses_give_all(struct accesses *accesses);
/* Closes an event's descriptor, or one taken in by accesses_adopt(), later and elsewhere, and not before its answer. */
void accesses_close(struct accesses *accesses, int fd);
/* A descriptor from elsewhere (the other group) counts against the same limit from now on, and is to be closed here.
 * false: there is no room for it to stay. */
bool accesses_adopt(struct accesses *accesses);
/* May one more access wait, or is the reserve reached? */
bool accesses_room(const struct accesses *accesses);

/* Marks or unmarks the file system of fd. exec: ask for executions apart. 0 or -errno. */
int accesses_watch(struct accesses *accesses, int fd, bool exec);
int accesses_unwatch(struct accesses *accesses, int fd);
/* No more events for this inode until its content changes, it leaves the cache, or accesses_unignore(). 0 or -errno.
 * (FAN_MARK_IGNORE | FAN_MARK_EVICTABLE, kernel 6.0; where somebody writes, the kernel takes it and adds nothing.) */
int accesses_ignore(struct accesses *accesses, int fd);
/* No more events for this inode whatever becomes of it. fd: O_PATH too. */
int accesses_ignore_for_good(struct accesses *accesses, int fd);
/* fd: any descriptor, O_PATH too. */
int accesses_unignore(struct accesses *accesses, int fd);
int accesses_unignore_all(struct accesses *accesses);

#endif
