// SPDX-License-Identifier: GPL-2.0-only
/* Where a name can't be renamed into the quarantine, the file is copied, exactly or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "quarantine_state.h"

#define PIECE (1u << 20)
#define ATTRIBUTES_MAX (64u << 10)

static int write_whole(int fd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

static int copy_content(struct steward *steward, int from, int to)
{
	uint8_t *piece = malloc(PIECE);
	off_t at = 0;
	ssize_t size;
	int error = piece ? 0 : -ENOMEM;

	while (!error && (size = pread(from, piece, PIECE, at)) != 0) {
		error = size < 0 ? -errno : write_whole(to, piece, (size_t)size);
		at += size;
		steward_alive(steward);
	}
	free(piece);
	return error;
}

/* ACLs are attributes (system.posix_acl_access), too. One that can't be set is an error. */
static int copy_attributes(int from, int to)
{
	static char names[ATTRIBUTES_MAX], value[ATTRIBUTES_MAX];
	ssize_t length = flistxattr(from, names, sizeof(names));

	if (length < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = names; name < names + length; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));
		if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0) < 0)
			return -errno;
	}
	return 0;
}

/* The mode after the owner, which takes bits of it away; the times last of all. */
static int copy_status(int to, const struct stat *status)
{
	const struct timespec times[2] = {status->st_atim, status->st_mtim};

	if (fchown(to, status->st_uid, status->st_gid) < 0 || fchmod(to, status->st_mode & 07777) < 0 ||
	    futimens(to, times) < 0)
		return -errno;
	return 0;
}

static int same_content(struct steward *steward, int from, int to)
{
	uint8_t one[32], other[32];
	int error = digest_file(steward, from, one);

	if (!error)
		error = digest_file(steward, to, other);
	return error ? error : memcmp(one, other, sizeof(one)) == 0 ? 0 : -EAGAIN;
}

/* What a folder gives to new files in it is none of this one's. */
static void drop_given(int to)
{
	if (fremovexattr(to, "system.posix_acl_access") < 0)
		errno = 0; /* it was given none */
}

/* 0: it is all there, and on the disk. */
static int copy_into(struct steward *steward, int from, int to)
{
	struct stat status, after;
	int error = fstat(from, &status) < 0 ? -errno : 0;

	drop_given(to);
	if (!error)
		error = copy_content(steward, from, to);
	if (!error)
		error = same_content(steward, from, to);
	if (!error)
		error = copy_attributes(from, to);
	if (!error)
		error = copy_status(to, &status);
	if (!error && fsync(to) < 0)
		error = -errno;
	if (!error && (fstat(to, &after) < 0 || after.st_uid != status.st_uid || after.st_gid != status.st_gid ||
		       after.st_mode != status.st_mode || after.st_size != status.st_size))
		error = -EAGAIN;
	return error;
}

int copy_file(struct steward *steward, int from, int folder, const char *name)
{
	int to, error;

	unlinkat(folder, name, 0);
	to = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOATIME | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	error = copy_into(steward, from, to);
	close(to);
	if (error)
		unlinkat(folder, name, 0);
	else if (fsync(folder) < 0)
		error = -errno;
	return error;
}

bool copy_is_of(struct steward *steward, int from, int folder, const char *name)
{
	struct stat one, other;
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	bool same = fd >= 0 && fstat(from, &one) == 0 && fstat(fd, &other) == 0 && one.st_size == other.st_size &&
		    one.st_uid == other.st_uid && one.st_gid == other.st_gid && one.st_mode == other.st_mode &&
		    one.st_mtim.tv_sec == other.st_mtim.tv_sec && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec &&
		    same_content(steward, from, fd) == 0;

	if (fd >= 0)
		close(fd);
	return same;
}

/* ---- taking the name away, giving it back ---- */

#define GONE ".mailward-gone-"

static void name_for(char out[64], const char *id)
{
	snprintf(out, 64, GONE "%s", id);
}

int copy_unlink(const struct found_name *name, const char *id, const struct stat *file)
{
	struct stat status;
	char aside[64];

	name_for(aside, id);
	if (renameat2(name->folder, name->base, name->folder, aside, RENAME_NOREPLACE) < 0)
		return -errno;
	if (fstatat(name->folder, aside, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == file->st_ino &&
	    status.st_dev == file->st_dev) {
		if (unlinkat(name->folder, aside, 0) < 0) {
			int error = -errno;
			renameat2(name->folder, aside, name->folder, name->base, RENAME_NOREPLACE);
			return error;
		}
		fsync(name->folder);
		return 0;
	}
	/* Another file by now: it gets its name back. */
	if (renameat2(name->folder, aside, name->folder, name->base, RENAME_NOREPLACE) < 0)
		return -errno;
	return -EAGAIN;
}

bool copy_undo(const char *path, const char *id, const struct stat *file)
{
	const char *base;
	struct stat status;
	char aside[64];
	int folder = names_folder(path, &base);
	bool there;

	if (folder < 0)
		return false;
	name_for(aside, id);
	if (fstatat(folder, aside, &status, AT_SYMLINK_NOFOLLOW) == 0)
		renameat2(folder, aside, folder, base, RENAME_NOREPLACE);
	/* A number alone may be another file's by now. */
	there = fstatat(folder, base, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == file->st_ino &&
		status.st_dev == file->st_dev && status.st_size == file->st_size &&
		status.st_mtim.tv_sec == file->st_mtim.tv_sec && status.st_mtim.tv_nsec == file->st_mtim.tv_nsec;
	close(folder);
	return there;
}

int copy_link(int file, int folder, const char *base)
{
	if (linkat(file, "", folder, base, AT_EMPTY_PATH) < 0)
		return -1;
	fsync(folder);
	return 0;
}

/* Without a name: whoever owns the folder could put something else in the place of one. */
int copy_back(struct steward *steward, int from, const char *path, struct stat *made_out,
	      int (*before)(void *owner, const struct stat *made), void *owner)
{
	const char *base;
	int folder = names_folder(path, &base), to, error;

	if (folder < 0)
		return folder;
	to = openat(folder, ".", O_RDWR | O_TMPFILE | O_NOATIME | O_CLOEXEC, 0600);
	error = to < 0 ? -errno : copy_into(steward, from, to);
	if (!error && fstat(to, made_out) < 0)
		error = -errno;
	if (!error)
		error = before(owner, made_out);
	if (!error && copy_link(to, folder, base) < 0)
		error = -errno;
	if (error && to >= 0)
		close(to);
	close(folder);
	return error ? error : to;
}
