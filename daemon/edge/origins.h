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
int origins_open(struct origins **origins_out); /* 0 or -errno */
/* Marks the file, soon, unless it is marked already. fd is borrowed. false: too many wait, counted. */
bool origins_write(struct origins *origins, int fd);
/* Files that should have a mark and got none. */
uint64_t origins_failed(const struct origins *origins);

#endif
