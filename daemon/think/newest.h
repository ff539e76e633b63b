/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of very many files the NEWEST_MOST that were changed last, in their order. They are given in any order, taken out the
 * newest first. No system calls but for memory.
 */
#ifndef MAILWARD_NEWEST_H
#define MAILWARD_NEWEST_H

#include <stdbool.h>
#include <stdint.h>

#define NEWEST_MOST 8192u

struct newest_file {
	int64_t time_ns;
	uint32_t root; /* the caller's */
	char *path;    /* allocated */
};

/* Zeroed: empty, and all. */
struct newest {
	struct newest_file list[NEWEST_MOST]; /* the oldest of them on top; sorted, the newest first, once they are */
	uint32_t count, next;
	bool others;       /* there were more than have found room */
	int64_t untold_ns; /* the youngest of those that had no path */
};

void newest_clear(struct newest *newest);
/* Would a file of this time find room? Where not, it is noted that there are others. */
bool newest_wants(struct newest *newest, int64_t time_ns);
/* One that is wanted; path is copied. NULL: it has none that can be told; then it is one of the others, however young.
 */
void newest_add(struct newest *newest, int64_t time_ns, uint32_t root, const char *path);
/* From now on they are taken, no more are added. What is not younger than the return value may be one of the others. */
int64_t newest_sort(struct newest *newest);
/* The next one, whose path is the caller's then. false: that was the last. */
bool newest_take(struct newest *newest, struct newest_file *out);

#endif
