/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes the fanotify groups, which outlive every gate: who waits stays in the queue until the next one reads. What is
 * marked and answered is the gate's. Each returns a descriptor or -errno (-EPERM: CAP_SYS_ADMIN is missing; -ENOSYS:
 * no permission events in this kernel).
 */
#ifndef MAILWARD_GROUPS_H
#define MAILWARD_GROUPS_H

/* Permission events. No bound on its queue: what overflows one is allowed by the kernel. Event descriptors are
 * non-blocking, so no user's lease holds up the reader, and leave access times alone. */
int groups_permission(void);
/* Close after write. Bounded: an overflow is a scan not begun ahead. */
int groups_closed(void);
/* Moves, links and new names, by file handle. */
int groups_moves(void);

#endif
