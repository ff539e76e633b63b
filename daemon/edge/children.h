/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Starts the other processes: fork and fexecve of a descriptor that was opened at start, so that no path is walked.
 * Nothing here waits or allocates. What a child may become is up to itself; only the uid of an unprivileged one is set
 * before it runs.
 */
#ifndef MAILWARD_CHILDREN_H
#define MAILWARD_CHILDREN_H

#include <stdbool.h>
#include <sys/types.h>

#include "wire.h"

struct child_plan {
	int executable; /* O_PATH or O_RDONLY */
	const char *argv[3];
	int fds[FD_START_END];  /* by number in the child; -1: not open there. FD_LEASH is filled in by child_start() */
	int null_fd;            /* /dev/null, becomes 0 and 1 */
	int error_fd;           /* becomes 2: for the reports of sanitizers; the parts log by their leash */
	const char *directory;  /* NULL, or a folder that the child opens by itself (it may wait there, we must not) */
	int directory_number;   /* as this number, in place of fds[] where it can be opened */
	unsigned uid, gid;      /* uid 0: root, as we are */
	unsigned nofile;        /* RLIMIT_NOFILE, both limits; 0: as it is */
	bool unlimited_memlock; /* where the kernel lets us */
	bool shows_state;       /* its first frame is LEASH_STATE (wire.h) */
};

struct child {
	pid_t pid; /* 0: none */
	int leash; /* our end, -1: none */
	int go;    /* it runs when a byte is written here; -1 then */
	int state; /* its /proc/PID/stat, -1: not known. Put here by who gets LEASH_STATE */
};

/* Forks. The child waits until child_go(), so that its pid can be made known before it does anything. 0 or -errno. */
int child_start(struct child *child, const struct child_plan *plan);
void child_go(struct child *child);

/* Does it run, or would it if it were given a processor? *cpu_ns_out: processor time it has used so far. false where
 * its state is not known. */
bool child_is_runnable(const struct child *child, uint64_t *cpu_ns_out);

/* Closes what we hold of it; says nothing to the process. */
void child_forget(struct child *child);

#endif
