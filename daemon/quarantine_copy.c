// SPDX-License-Identifier: GPL-2.0-only
/* Copies: of what cannot be moved away itself, because its store goes on with the file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

#define COPY ".copy" /* in the folder; no item is called so. One left behind by a kill is overwritten by the next */
#define PART (1u << 20)

static int bytes_copy(struct steward *steward, int in, int out, uint64_t size)
{
	static char bytes[PART];
	uint64_t done = 0;

	while (done < size) {
		ssize_t got = pread(in, bytes, sizeof(bytes), (off_t)done), wrote = 0;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -EAGAIN; /* shorter than it was */
		while (wrote < got) {
			ssize_t part = pwrite(out, bytes + wrote, (size_t)(got - wrote), (off_t)done + wrote);
			if (part <= 0)
				return part < 0 ? -errno : -EIO;
			wrote += part;
		}
		done += (uint64_t)got;
		steward_alive(steward);
	}
	return 0;
}

static int copy_make(struct steward *steward, int folder, int fd, uint64_t size, const struct stat *like)
{
	struct timespec times[2] = {like->st_atim, like->st_mtim};
	int error, out;

	unlinkat(folder, COPY, 0);
	out = openat(folder, COPY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	error = bytes_copy(steward, fd, out, size);
	if (!error && (fchown(out, like->st_uid, like->st_gid) < 0 || fchmod(out, like->st_mode & 07777) < 0 ||
		       futimens(out, times) < 0 || fsync(out) < 0))
		error = -errno;
	close(out);
	return error;
}

int quarantine_copy(struct steward *steward, const struct steward_request *request, int fd, const struct stat *like,
		    int where, const char *path, struct quarantine_entry **entry_out)
{
	static struct found_name name;
	struct quarantine_place *place;
	struct stat file, copy;
	struct statx mount;
	const char *why;
	int error;

	if (fstat(fd, &file) < 0 || statx(where, "", AT_EMPTY_PATH, STATX_MNT_ID, &mount) < 0)
		return -errno;
	place = places_of(steward, &file, mount.stx_mnt_id, &why);
	if (!place)
		return -EXDEV;
	if (!quarantine_makes_room(steward, (uint64_t)file.st_size))
		return -EDQUOT;
	error = copy_make(steward, place->fd, fd, (uint64_t)file.st_size, like);
	if (!error && fstatat(place->fd, COPY, &copy, AT_SYMLINK_NOFOLLOW) < 0)
		error = -errno;
	name.folder = place->fd;
	name.base = COPY;
	snprintf(name.path, sizeof(name.path), "%s", path);
	if (!error)
		error = items_take(steward, place, request, &copy, &name, entry_out);
	if (error)
		unlinkat(place->fd, COPY, 0);
	else
		items_settle(steward, *entry_out);
	return error;
}
