/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /proc says of a process, in the files that never wait for it: proc(5), stat and status. proc_fd: directory
 * /proc.
 */
#ifndef MAILWARD_PROC_H
#define MAILWARD_PROC_H

#include <stdbool.h>
#include <stdint.h>

struct proc_stat {
	char name[80]; /* as the kernel tells it: newlines and backslashes are escaped */
	char state;    /* R S D T Z ... */
	int32_t parent;
	uint64_t started; /* ticks since boot */
};

/* false: there is no such process (any more). */
bool proc_stat(int proc_fd, int32_t pid, struct proc_stat *stat_out);
bool proc_uids(int proc_fd, int32_t pid, uint32_t *real_out, uint32_t *effective_out);

#endif
