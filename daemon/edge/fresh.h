/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that were just written and closed (FAN_CLOSE_WRITE): their scan starts before anybody asks. Read by a thread of
 * its own, since taking such an event opens the file, which can take long.
 */
#ifndef MAILWARD_FRESH_H
#define MAILWARD_FRESH_H

#include <stdint.h>

struct fresh;

/* Borrows group_fd. held: descriptors that may lie here at once (at most 64). *bell_out: readable when fresh_next() has
 * something; belongs to fresh. 0 or -errno. */
int fresh_open(struct fresh **fresh_out, int group_fd, uint32_t held, int *bell_out);
/* The next file: a descriptor, the caller's now; -1: none. pid_out: who closed it. */
int fresh_next(struct fresh *fresh, int32_t *pid_out);
/* Closes that were not followed up: the queue in the kernel was full, or there was no descriptor. */
uint64_t fresh_missed(const struct fresh *fresh);
/* Marks or unmarks the file system of fd. 0 or -errno. */
int fresh_watch(struct fresh *fresh, int fd);
int fresh_unwatch(struct fresh *fresh, int fd);

#endif
