// SPDX-License-Identifier: GPL-2.0-only
#include "steward_far.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mounts.h"
#include "wire.h"

#define TABLE_MOST (16u << 20)

/* Read anew each time: what is mounted meanwhile counts. */
static bool table_read(struct mounts *mounts)
{
	int fd = openat(FD_PROC, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t used = 0, room = 1 << 16;
	char *text = malloc(room);
	ssize_t got = fd < 0 ? -1 : 0;

	while (text && fd >= 0 && room <= TABLE_MOST && (got = read(fd, text + used, room - used - 1)) > 0) {
		used += (size_t)got;
		if (room - used < 4096) {
			char *more = realloc(text, room *= 2);
			if (!more)
				free(text);
			text = more;
		}
	}
	if (fd >= 0)
		close(fd);
	if (!text || got != 0) {
		free(text);
		return false;
	}
	text[used] = 0;
	return mounts_parse(mounts, text) == 0;
}

static bool is_far(const struct mount_entry *mount, char *type_out, size_t size)
{
	if (!mount || !mount_is_remote(mount))
		return false;
	snprintf(type_out, size, "%s", mount->type);
	return true;
}

bool far_descriptor(int fd, char *type_out, size_t size)
{
	struct mounts mounts;
	struct statx status;
	bool far;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) < 0 ||
	    !(status.stx_mask & STATX_MNT_ID) || !table_read(&mounts))
		return false;
	far = is_far(mounts_by_id(&mounts, status.stx_mnt_id), type_out, size);
	mounts_free(&mounts);
	return far;
}

bool far_path(const char *path, char *type_out, size_t size)
{
	struct mounts mounts;
	char way[4096];
	bool far;

	if (!table_read(&mounts))
		return false;
	far = is_far(mounts_find(&mounts, path), type_out, size);
	for (size_t i = 1; !far && path[i] && i < sizeof(way); i++) {
		if (path[i] == '/') {
			snprintf(way, i + 1, "%s", path);
			far = is_far(mounts_find(&mounts, way), type_out, size);
		}
	}
	mounts_free(&mounts);
	return far;
}
