/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /proc/self/mountinfo says (proc(5)): on which mount and file system a path lies, found without touching the
 * path, because touching may wait for a server that is gone.
 */
#ifndef MAILWARD_MOUNTS_H
#define MAILWARD_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mount_entry {
	uint64_t id, parent;
	/* Of the superblock; the same for all subvolumes of a btrfs, where st_dev differs. */
	unsigned major, minor;
	const char *point; /* unescaped, no trailing slash but for "/" itself */
	const char *type;
};

struct mounts {
	struct mount_entry *list;
	size_t count;
	char *text;
};

/* Takes text (from malloc, terminated; freed by mounts_free()) apart. 0 or -ENOMEM; lines that make no sense are left
 * out. */
int mounts_parse(struct mounts *mounts, char *text);
void mounts_free(struct mounts *mounts);

/* The mount that an absolute path without links leads to; NULL: none that is listed (in a chroot the root may lie on a
 * mount that is not shown). Takes mounts over mounts into account. */
const struct mount_entry *mounts_find(const struct mounts *mounts, const char *path);
const struct mount_entry *mounts_by_id(const struct mounts *mounts, uint64_t id);

/* One superblock? Two unlisted mounts count as one. */
bool mounts_share(const struct mount_entry *first, const struct mount_entry *second);

/* Calls on it may wait for somebody else, without end: NFS, CIFS, FUSE and their like, and automounter points. */
bool mount_is_remote(const struct mount_entry *mount);
/* The kernel's own: proc, sysfs, cgroup, ...; there are no files that mail software writes. */
bool mount_is_kernel(const struct mount_entry *mount);

/* Is path below folder, and not folder itself? */
bool path_is_below(const char *path, const char *folder);

#endif
