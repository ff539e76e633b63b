/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which watch a file lies in: by its name on the gate's own mounts, never by the opener's path, which another mount
 * namespace or an overlay can make say anything. The name comes from the file's handle (name_to_handle_at(2),
 * open_by_handle_at(2) with O_PATH: no event), or from the descriptor where it was opened through one of our own
 * mounts. Where a step fails, the file counts as inside.
 */
#ifndef MAILWARD_SCOPE_H
#define MAILWARD_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "shared.h"

struct scope_root {
	int fd; /* directory, O_RDONLY (open_by_handle_at wants no O_PATH); the scope's own */
	uint32_t watch;
	uint64_t dev;
	uint32_t device; /* the same as the kernel counts: major << 20 | minor; on btrfs another number than dev */
	uint64_t ino;
	uint64_t mount_id;
	uint32_t magic; /* statfs(2) f_type */
	bool gone;      /* its name is no longer the one it had */
	size_t path_size;
	char path[4096]; /* what it is called now, in the gate's mount namespace */
};

struct scope {
	int proc_fd; /* borrowed */
	uint32_t count;
	struct scope_root roots[ROOTS_MAX];
};

enum where {
	WHERE_OUTSIDE,        /* for sure: an ignore mark does no harm */
	WHERE_OUTSIDE_LINKED, /* no name of it that we know lies inside, but it has other names */
	WHERE_INSIDE,
	WHERE_UNSURE, /* a step failed: inside, but nobody can say of what */
};

/* Takes over fd. device: 0: made of st_dev. 0 or -errno (fd is closed then). */
int scope_add(struct scope *scope, int fd, uint32_t watch, uint32_t device);
void scope_clear(struct scope *scope); /* closes all */

/* fd: any descriptor of the file, O_PATH too. *watch_out and *inner_out (offset in path of what follows the root's
 * path and a slash; SIZE_MAX: not known) are set for WHERE_INSIDE. path: its name, terminated, or empty where it can't
 * be told; at least 4097 bytes. For WHERE_UNSURE candidates gets a bit for each watch on that file system. */
enum where scope_find(struct scope *scope, int fd, const struct sight *sight, uint32_t *watch_out, size_t *inner_out,
		      char *path, size_t size, uint64_t *candidates_out);

/* Has this folder (handle alone), which was just moved, to do with any root: does it lie in one now, or one in it?
 * Where a step fails, it has. */
bool scope_concerns(const struct scope *scope, const struct generation *folder);

/* Reads the roots' names again. true: one has another name than before, or is gone. */
bool scope_refresh(struct scope *scope);

/* Name of the file system in words, for status. */
const char *scope_file_system(const struct scope_root *root, char *room, size_t size);

/* Of an open file: there a file may have the device number of a layer. True where it can't be told. */
bool scope_is_overlay(int fd);
/* May files change there without this kernel's doing: on a server, by way of a layer? */
bool scope_changes_unseen(uint32_t magic);
/* Is it a server, which may not answer? */
bool scope_is_remote(uint32_t magic);
/* Does a store through a shared mapping fail to change the change time there (tmpfs)? */
bool scope_hides_mapped_stores(const struct scope *scope, uint64_t dev);

#endif
