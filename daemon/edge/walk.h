/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Goes through a tree of folders by descriptors. No link is followed, nothing but folders is opened for reading, no
 * path is ever put together for the kernel; whoever moves folders about meanwhile makes the walk miss them or see them
 * twice, and never leads it out of what was open already. Memory is bounded, however many names a folder holds: they
 * are taken in the order of their inode's number, some thousands at a time, so that a walk can also begin where another
 * one was left.
 *
 * A call does little (one name, or one read of a folder), so that the caller can do something else in between.
 */
#ifndef MAILWARD_WALK_H
#define MAILWARD_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define WALK_DEPTH_MAX 256 /* folders in folders */
#define WALK_NAME_SIZE 256 /* with its terminating zero */

/* Where a walk is within one folder: at this name. */
struct walk_key {
	uint64_t ino;
	char name[WALK_NAME_SIZE];
};

enum walk_step {
	WALK_AGAIN = 0, /* something was done; call again */
	WALK_FILE,      /* a regular file: found->fd, status */
	WALK_LEFT_OUT,  /* found->error; the last name is the one. E2BIG: deeper than WALK_DEPTH_MAX; EXDEV: a mount
			   point; else why it can't be read */
	WALK_END,       /* that was all */
};
struct walk_found {
	int fd; /* O_PATH; the caller's */
	struct stat status;
	int error;
};

/* Is this folder not to be entered? Asked once for each, the root too; fd is borrowed. */
typedef bool (*walk_leave_out)(void *owner, int fd, const struct stat *folder);

struct walk_options {
	bool mounts;              /* enter what is mounted below; a loop of bind mounts is left all the same */
	bool sizes;               /* files are looked at, never opened: found->fd is -1 */
	walk_leave_out leave_out; /* NULL: none */
	/* mounts: is the mount point that walk_path() names not to be entered? Asked before it is touched. NULL: none
	 */
	bool (*leave_mount)(void *owner);
	void *owner;
};

struct walk;
/* folder: a directory, O_PATH or not; borrowed. 0 or -errno. */
int walk_open(struct walk **walk_out, int folder, const struct walk_options *options);
void walk_close(struct walk **walk);

enum walk_step walk_next(struct walk *walk, struct walk_found *found_out);

/* The name that walk_next() spoke of, from the root on: "a/b/c". Its length; 0: it does not fit, or there is none. */
size_t walk_path(const struct walk *walk, char *out, size_t size);

/* Where it is: the key in each folder, from the root on. Returns how many were written. */
size_t walk_position(const struct walk *walk, struct walk_key *keys_out, size_t room);
/* Goes on from there, as far as these folders are still there; what comes after them follows. Before walk_next(). */
void walk_go_on(struct walk *walk, const struct walk_key *keys, size_t count);

/* A regular file found by walk_next(), open for reading: no time of access is set (where the kernel allows that),
 * nothing is waited for. proc: the directory /proc. Descriptor or -errno. */
int walk_read(int proc, int found_fd);

/* Opens a path from a folder on, without any link. flags as of openat(2). Descriptor or -errno. */
int walk_open_path(int folder, const char *path, int flags);
/* The same below that folder, and on its own mount: -EXDEV where it leads elsewhere, which is not touched then. */
int walk_open_below(int folder, const char *path, int flags);

#endif
