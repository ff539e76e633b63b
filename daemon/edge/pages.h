/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the keeper makes for the others (include/shared.h, base/ring.h), as memfds of mode 0600: who is given a
 * read-only descriptor and isn't root can't open it for writing through /proc. Each returns a descriptor or -errno.
 */
#ifndef MAILWARD_PAGES_H
#define MAILWARD_PAGES_H

#include <stdbool.h>
#include <stddef.h>

int pages_make(const char *name, size_t size);
/* The same memory, O_RDONLY. Opens /proc/self/fd, so only at start. */
int pages_read_only(int fd);
/* Maps it shared; NULL: could not. */
void *pages_map(int fd, size_t size);

/* A copy of these bytes that nobody can change any more. */
int pages_sealed_copy(const char *name, const void *bytes, size_t size);
/* Takes `size` bytes of a sealed memfd that somebody sent. false: not of that size, or its owner could still change it.
 */
bool pages_take_sealed(int fd, void *bytes, size_t size);

#endif
