/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is kept of a sweep on the disk, so that it goes on after a restart: lines of text, names in hexadecimal. What is
 * read is checked as if an enemy had written it; what is wrong makes it no state at all.
 */
#ifndef MAILWARD_SWEEP_STATE_H
#define MAILWARD_SWEEP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sweeping.h"

#define SWEEP_ROOTS_MAX 192
#define SWEEP_DEPTH_MAX 256
#define SWEEP_NAME_SIZE 256
#define SWEEP_REDO_MAX 80
#define SWEEP_PATH_SIZE 4096
#define SWEEP_STATE_SIZE (4u << 20) /* of the text, at most */

enum sweep_flag {
	SWEEP_ALL = 1,        /* what is known is judged again, too */
	SWEEP_QUARANTINE = 2, /* what is infected outside of the watches is moved away, too */
	SWEEP_MOUNTS = 4,     /* what is mounted below is entered */
	SWEEP_FLAGS = 7
};

struct sweep_root {
	uint64_t ino;
	char path[SWEEP_PATH_SIZE]; /* from / on */
};
struct sweep_name {
	uint64_t ino;
	char name[SWEEP_NAME_SIZE];
};

struct sweep_state {
	uint32_t kind;   /* enum sweep_kind */
	uint32_t state;  /* enum sweep_state_kind */
	uint32_t flags;  /* enum sweep_flag */
	uint32_t single; /* 1: roots[root] is a file, and was asked about */
	uint64_t begun_ns, ended_ns;
	uint64_t known_ns; /* of a schedule: since when there is one */
	uint32_t spread_s; /* of a schedule: this host's */
	uint32_t root;     /* the one that is being gone through; those before it are done */
	struct sweep_counts counts;
	uint64_t files_all, bytes_all; /* 0: not counted */
	uint32_t root_count, depth, redo_count;
	struct sweep_root roots[SWEEP_ROOTS_MAX];
	struct sweep_name at[SWEEP_DEPTH_MAX]; /* where the walk is, from the root on */
	/* Files that were asked about and not answered, or whose finding nobody has seen yet, below roots[root]. */
	char redo[SWEEP_REDO_MAX][SWEEP_PATH_SIZE];
};

/* As text, zero-terminated. Its length; 0: it does not fit. */
size_t sweep_state_write(const struct sweep_state *state, char *out, size_t size);
/* false: this is no state, and *state_out is not to be used. */
bool sweep_state_read(const char *text, size_t size, struct sweep_state *state_out);

#endif
