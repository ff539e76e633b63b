// SPDX-License-Identifier: GPL-2.0-only
/* Items of what cannot be moved away itself, because its store goes on with the file: a copy is kept. */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

#define COPY ".copy" /* in the folder; no item is called so. One left behind by a kill is overwritten by the next */

/* Whose it is, and from when, where that is not what the descriptor says. */
static int status_set(int folder, const struct stat *like, struct stat *copy)
{
	const struct timespec times[2] = {like->st_atim, like->st_mtim};

	if (fchownat(folder, COPY, like->st_uid, like->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(folder, COPY, like->st_mode & 07777, 0) < 0 ||
	    utimensat(folder, COPY, times, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(folder, COPY, copy, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int quarantine_keep(struct steward *steward, const struct steward_request *request, int fd, const struct stat *like,
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
		place = places_copies(steward);
	if (!place)
		return -EXDEV;
	if (!quarantine_makes_room(steward, (uint64_t)file.st_size))
		return -EDQUOT;
	error = copy_file(steward, fd, place->fd, COPY);
	if (!error)
		error = status_set(place->fd, like, &copy);
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
