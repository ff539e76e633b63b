// SPDX-License-Identifier: GPL-2.0-only
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static const struct {
	uint32_t magic;
	const char *name;
} names[] = {
	{EXT4_SUPER_MAGIC, "ext4"},
	{XFS_SUPER_MAGIC, "xfs"},
	{BTRFS_SUPER_MAGIC, "btrfs"},
	{TMPFS_MAGIC, "tmpfs"},
	{RAMFS_MAGIC, "ramfs"},
	{OVERLAYFS_SUPER_MAGIC, "overlay"},
	{F2FS_SUPER_MAGIC, "f2fs"},
	{NFS_SUPER_MAGIC, "nfs"},
	{0xff534d42, "cifs"},
	{0xfe534d42, "smb2"},
	{FUSE_SUPER_MAGIC, "fuse"},
	{0x2fc12fc1, "zfs"},
	{REISERFS_SUPER_MAGIC, "reiserfs"},
};

/* The name of an open file as the kernel writes it for us. Size, or -errno; ENAMETOOLONG beyond 4096 bytes. */
static ssize_t name_of(const struct scope *scope, int fd, char *path, size_t size)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "self/fd/%d", fd);
	length = readlinkat(scope->proc_fd, link, path, size - 1);
	if (length < 0)
		return -errno;
	path[length] = 0;
	return (size_t)length == size - 1 ? -ENAMETOOLONG : length;
}

int scope_add(struct scope *scope, int fd, uint32_t watch, uint32_t device)
{
	struct scope_root *root = &scope->roots[scope->count];
	struct statfs file_system;
	struct sight sight;
	ssize_t length;
	int result;

	if (scope->count == ROOTS_MAX) {
		close(fd);
		return -ENOSPC;
	}
	*root = (struct scope_root){.fd = fd, .watch = watch};
	result = memory_look(fd, &sight);
	length = result < 0 ? result : name_of(scope, fd, root->path, sizeof(root->path));
	if (length < 0 || fstatfs(fd, &file_system) < 0) {
		result = length < 0 ? (int)length : -errno;
		close(fd);
		return result;
	}
	root->dev = sight.generation.dev;
	root->device = device ? device : (uint32_t)(major(root->dev) << 20 | minor(root->dev));
	root->ino = sight.generation.ino;
	root->mount_id = sight.mount_id;
	root->magic = (uint32_t)file_system.f_type;
	root->path_size = (size_t)length;
	scope->count++;
	return 0;
}

void scope_clear(struct scope *scope)
{
	while (scope->count > 0)
		close(scope->roots[--scope->count].fd);
}

/* The innermost root that this name lies below; NULL: none. */
static const struct scope_root *root_above(const struct scope *scope, const char *path, size_t length)
{
	const struct scope_root *best = NULL;

	for (uint32_t i = 0; i < scope->count; i++) {
		const struct scope_root *root = &scope->roots[i];
		size_t size = root->path_size == 1 ? 0 : root->path_size; /* "/" */
		if (!root->gone && length > size && path[size] == '/' && memcmp(path, root->path, size) == 0 &&
		    (!best || root->path_size > best->path_size))
			best = root;
	}
	return best;
}

static bool set_inside(const struct scope_root *root, uint32_t *watch_out, size_t *inner_out)
{
	*watch_out = root->watch;
	*inner_out = root->path_size == 1 ? 1 : root->path_size + 1;
	return true;
}

/* The name that a handle has on the mount of one root; its length, or -1. */
static ssize_t name_by_handle(const struct scope *scope, const struct scope_root *mount, const struct generation *file,
			      char *path, size_t size)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room;
	ssize_t length;
	int fd;

	room.head.handle_bytes = file->handle_size;
	room.head.handle_type = file->handle_type;
	memcpy(room.head.f_handle, file->handle, file->handle_size);
	fd = open_by_handle_at(mount->fd, &room.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -1;
	length = name_of(scope, fd, path, size);
	close(fd);
	/* A dentry without parents, as nfsd makes them, is called "/", and no file is. */
	if (length <= 1) {
		path[0] = 0;
		return -1;
	}
	return length;
}

/* By the handle, on the mount of one root. 1 inside, 0 outside, -1 can't tell. */
static int by_handle(const struct scope *scope, const struct scope_root *mount, const struct generation *file,
		     uint32_t *watch_out, size_t *inner_out, char *path, size_t size)
{
	ssize_t length = name_by_handle(scope, mount, file, path, size);
	const struct scope_root *root = length < 0 ? NULL : root_above(scope, path, (size_t)length);

	if (length < 0)
		return -1;
	return root ? set_inside(root, watch_out, inner_out) : 0;
}

bool scope_concerns(const struct scope *scope, const struct generation *folder)
{
	static char path[4097];
	bool named = false;

	for (uint32_t i = 0; i < scope->count; i++) {
		ssize_t length = name_by_handle(scope, &scope->roots[i], folder, path, sizeof(path));
		if (length < 0)
			continue; /* not of this file system, most likely */
		named = true;
		if (root_above(scope, path, (size_t)length))
			return true;
		for (uint32_t j = 0; j < scope->count; j++)
			if (scope->roots[j].path_size >= (size_t)length &&
			    memcmp(scope->roots[j].path, path, (size_t)length) == 0)
				return true;
	}
	/* A root that went along has another name already. */
	for (uint32_t j = 0; j < scope->count; j++) {
		ssize_t length = name_of(scope, scope->roots[j].fd, path, sizeof(path));
		if (length != (ssize_t)scope->roots[j].path_size ||
		    memcmp(path, scope->roots[j].path, (size_t)length) != 0)
			return true;
	}
	return !named;
}

/* By the name it was opened under; worth something only where that mount is one of ours. 1, 0, -1 as above. */
static int by_own_name(const struct scope *scope, int fd, const struct sight *sight, uint32_t *watch_out,
		       size_t *inner_out, char *path, size_t size)
{
	const struct scope_root *root;
	bool ours = false;
	ssize_t length;

	for (uint32_t i = 0; i < scope->count && !ours; i++)
		ours = scope->roots[i].mount_id == sight->mount_id;
	length = ours ? name_of(scope, fd, path, size) : -1;
	if (length <= 1) {
		path[0] = 0;
		return -1;
	}
	root = root_above(scope, path, (size_t)length);
	return root ? set_inside(root, watch_out, inner_out) : 0;
}

enum where scope_find(struct scope *scope, int fd, const struct sight *sight, uint32_t *watch_out, size_t *inner_out,
		      char *path, size_t size, uint64_t *candidates_out)
{
	int own, sure = 0, failed = 0;

	*inner_out = SIZE_MAX;
	*candidates_out = 0;
	path[0] = 0;
	own = by_own_name(scope, fd, sight, watch_out, inner_out, path, size);
	if (own == 1)
		return WHERE_INSIDE;
	if (own == 0 && sight->links == 1)
		return WHERE_OUTSIDE;
	for (uint32_t i = 0; i < scope->count; i++) {
		const struct scope_root *root = &scope->roots[i];
		int inside;
		/* Subvolumes of btrfs have device numbers of their own on one file system; so have the files of an
		 * overlay whose layers lie on several. */
		if (root->dev != sight->generation.dev && root->magic != BTRFS_SUPER_MAGIC &&
		    !(root->magic == OVERLAYFS_SUPER_MAGIC && scope_is_overlay(fd)))
			continue;
		*candidates_out |= (uint64_t)1 << root->watch;
		inside = sight->certain ? by_handle(scope, root, &sight->generation, watch_out, inner_out, path, size)
					: -1;
		if (inside == 1)
			return WHERE_INSIDE;
		if (inside == 0)
			sure++;
		else
			failed++;
	}
	if (own == 0 || (sure > 0 && failed == 0))
		return sight->links == 1 && sure > 0 ? WHERE_OUTSIDE : WHERE_OUTSIDE_LINKED;
	return *candidates_out ? WHERE_UNSURE : WHERE_OUTSIDE_LINKED;
}

bool scope_refresh(struct scope *scope)
{
	char path[4096];
	bool changed = false;

	for (uint32_t i = 0; i < scope->count; i++) {
		struct scope_root *root = &scope->roots[i];
		struct stat now;
		ssize_t length = name_of(scope, root->fd, path, sizeof(path));
		bool gone = length != (ssize_t)root->path_size || memcmp(path, root->path, root->path_size) != 0 ||
			    fstat(root->fd, &now) < 0 || now.st_nlink == 0;
		changed |= gone != root->gone;
		root->gone = gone;
	}
	return changed;
}

const char *scope_file_system(const struct scope_root *root, char *room, size_t size)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].magic == root->magic)
			return names[i].name;
	snprintf(room, size, "0x%x", root->magic);
	return room;
}

static bool is_of(const struct scope *scope, uint64_t dev, uint32_t magic)
{
	for (uint32_t i = 0; i < scope->count; i++)
		if (scope->roots[i].dev == dev)
			return scope->roots[i].magic == magic;
	return false;
}

bool scope_is_overlay(int fd)
{
	struct statfs file_system;

	return fstatfs(fd, &file_system) < 0 || (uint32_t)file_system.f_type == OVERLAYFS_SUPER_MAGIC;
}

bool scope_is_remote(uint32_t magic)
{
	static const uint32_t servers[] = {NFS_SUPER_MAGIC,
					   0xff534d42 /* cifs */,
					   0xfe534d42 /* smb2 */,
					   FUSE_SUPER_MAGIC,
					   V9FS_MAGIC,
					   AFS_SUPER_MAGIC,
					   CODA_SUPER_MAGIC,
					   0x00c36400 /* ceph */,
					   0x7461636f /* ocfs2 */,
					   0x01161970 /* gfs2 */};

	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		if (servers[i] == magic)
			return true;
	return false;
}

bool scope_changes_unseen(uint32_t magic)
{
	return magic == OVERLAYFS_SUPER_MAGIC || scope_is_remote(magic);
}

bool scope_hides_mapped_stores(const struct scope *scope, uint64_t dev)
{
	return is_of(scope, dev, TMPFS_MAGIC) || is_of(scope, dev, RAMFS_MAGIC);
}
