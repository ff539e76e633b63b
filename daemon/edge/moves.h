/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * News of names: files and folders that were moved or linked somewhere (FAN_MOVED_TO, FAN_CREATE), and writers that
 * closed (FAN_CLOSE_WRITE), told by file handle (FAN_REPORT_DFID_NAME_TARGET, kernel 5.17): no descriptor is opened.
 * The gate reads all there is before it answers anybody from memory.
 */
#ifndef MAILWARD_MOVES_H
#define MAILWARD_MOVES_H

#include <stdbool.h>
#include <stdint.h>

#include "attachment.h"

enum news {
	NEWS_NONE = 0,
	NEWS_NAME = 1,   /* a file was moved or linked, or is new: file_out is it */
	NEWS_CLOSE = 2,  /* a writer has closed file_out; may come together with NEWS_NAME */
	NEWS_FOLDER = 4, /* a folder was moved, file_out: any file in it may lie somewhere else now */
	NEWS_LOST = 8,   /* the queue ran over: as with a folder, and any file may have changed */
};

struct moves;

int moves_open(struct moves **moves_out, int group_fd); /* borrows it; 0 or -ENOMEM */
/* Bits of enum news. file_out: handle only; dev, ino, size and time are 0. */
unsigned moves_next(struct moves *moves, struct generation *file_out);
/* Marks the file system of fd. -errno: it can't tell (no file handles): then no ignore marks may be set there. */
int moves_watch(struct moves *moves, int fd);
int moves_unwatch(struct moves *moves, int fd);

#endif
