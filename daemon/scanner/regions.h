/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where in memory an engine lies, so that children that do not use it are forked without it. Freeing an engine writes
 * to nearly every page of it first, and each page that a child shares is copied for that: the old engine, which is
 * freed when the new one is in use, was in memory a second time then.
 */
#ifndef MAILWARD_REGIONS_H
#define MAILWARD_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#define REGIONS_MAX 1024

struct regions {
	unsigned count; /* 0: none, or too many to know */
	struct {
		uintptr_t start, end;
	} list[REGIONS_MAX];
};

/* What is mapped now, writable and private and of no file; not the heap that grows by brk(2), and no stack. */
void regions_read(struct regions *regions);

/* From the text of a maps file of proc(5); the same. */
void regions_parse(struct regions *regions, const char *line);

/* Takes out of `regions` what is in `others`. */
void regions_subtract(struct regions *regions, const struct regions *others);

/* Does a child have it from now on? (madvise(2), MADV_DONTFORK) What is no longer mapped is no error. */
void regions_inherit(const struct regions *regions, bool inherited);

#endif
