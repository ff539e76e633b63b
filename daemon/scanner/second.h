/* SPDX-License-Identifier: GPL-2.0-only */
/* In a worker: what clamd says of a file, where the signatures are clamd's. */
#ifndef MAILWARD_SECOND_H
#define MAILWARD_SECOND_H

#include "judge.h"

#define SECOND_SAID 96

/* Adds to findings what clamd says of fd, a file that is ours alone, until until_ns (CLOCK_MONOTONIC). Anything but OK
 * from a clamd that has proved what its OK is worth is noted. said: its words for the detail; the strictest of those
 * that it has said of this case stay. */
void second_look(struct findings *findings, int fd, uint64_t until_ns, char said[SECOND_SAID]);

#endif
