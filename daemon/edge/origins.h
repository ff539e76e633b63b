/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a file comes from, as it is written on the file itself: the attribute ORIGIN_XATTR says that mail software
 * wrote it. It goes with the file through renames and links, outlives the inode in the cache and a reboot, and nobody
 * without CAP_SYS_ADMIN can see, make or remove it (xattr(7), trusted). It is written by a thread of ours, since that
 * waits for the disk, and for a frozen file system without end.
 */
#ifndef MAILWARD_ORIGINS_H
#define MAILWARD_ORIGINS_H

#include <stdbool.h>
#include <stdint.h>

#include "attachment.h"

enum origin_said {
	ORIGIN_SAID_NOTHING, /* no mark; or the file system keeps none: ORIGIN_SAID_NEVER */
	ORIGIN_SAID_MAIL,
	ORIGIN_SAID_NEVER,
	ORIGIN_SAID_ERROR, /* it could not be read */
};
/* fd: not O_PATH. Not for file systems that ask a server. */
enum origin_said origins_read(int fd);

struct origins;
/* places: how many may wait, each by a descriptor. 0 or -errno. */
int origins_open(struct origins **origins_out, unsigned places);
/* Marks the file, soon, unless it is marked already. fd is borrowed. false: too many wait; nothing is done or counted:
 * who knows of its origin otherwise tries again when it is opened next, who does not says so with origins_missed(). */
bool origins_write(struct origins *origins, int fd);
void origins_missed(struct origins *origins);
/* Files that should have a mark and will get none: it could not be made, or was missed. */
uint64_t origins_failed(const struct origins *origins);

#endif
