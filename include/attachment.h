/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One generation of one file: which file it is and which content. Two equal generations are the same bytes, as far as
 * can be known without BPF: the file handle (name_to_handle_at(2); it holds the inode's own generation, so a reused
 * inode number differs), the size, and the time of the last change, which no user can set (only the clock's owner).
 *
 * In full mode the kernel side counts the changes (hooks.h), and its number takes the place of the time.
 */
#ifndef MAILWARD_ATTACHMENT_H
#define MAILWARD_ATTACHMENT_H

#include <stdint.h>

/* On a file that mail software wrote; trusted.* is root's alone to see and to set. */
#define ORIGIN_XATTR "trusted.mailward.origin"

#define HANDLE_SIZE 48 /* ext4 8, xfs 8 to 24, tmpfs 12, btrfs 20 to 40 bytes */

struct generation {
	uint64_t dev; /* as makedev() packs it */
	uint64_t ino;
	uint64_t size;    /* bytes */
	int64_t ctime_ns; /* CLOCK_REALTIME; where `counted`, the generation's number of the kernel side */
	int32_t handle_type;
	uint8_t handle_size; /* bytes of handle; 0: the file system gave none, the file cannot be told for sure */
	uint8_t counted;     /* 1: ctime_ns is no time but the kernel side's number */
	uint8_t reserved[2];
	uint8_t handle[HANDLE_SIZE]; /* rest is zero */
};

#endif
