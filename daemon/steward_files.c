// SPDX-License-Identifier: GPL-2.0-only
/* Small files of the steward's own in its folder: read as if somebody else had written them, written so that after a
 * power cut there is the old one or the new one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "steward_state.h"

/* Only root may have had it in his hands. */
static const char *file_wrong(int fd, size_t most)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "it is no regular file";
	if (status.st_uid != 0 || status.st_mode & 077)
		return "others than root could have changed it";
	if (status.st_nlink != 1)
		return "it has several names";
	return status.st_size > (off_t)most ? "it is too large" : NULL;
}

const char *steward_file_read(const char *name, void *out, size_t most, size_t *size_out)
{
	int fd = openat(FD_STATE_DIR, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *why;
	ssize_t got = 1;

	*size_out = 0;
	if (fd < 0)
		return errno == ENOENT ? NULL : strerror(errno);
	why = file_wrong(fd, most);
	while (!why && got > 0 && *size_out < most) {
		got = read(fd, (char *)out + *size_out, most - *size_out);
		if (got < 0)
			why = strerror(errno);
		else
			*size_out += (size_t)got;
	}
	close(fd);
	if (why)
		*size_out = 0;
	/* An empty file is no file that was written here. */
	return why || *size_out ? why : "it is empty";
}

int steward_file_append(int fd, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t wrote = write(fd, (const char *)bytes + done, size - done);
		if (wrote < 0)
			return -errno;
		done += (size_t)wrote;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int steward_file_write(const char *name, const void *bytes, size_t size, const char *aside)
{
	char new[64];
	int fd, error;

	snprintf(new, sizeof(new), "%s.new", name);
	unlinkat(FD_STATE_DIR, new, 0);
	fd = openat(FD_STATE_DIR, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = steward_file_append(fd, bytes, size);
	close(fd);
	if (!error && aside && renameat(FD_STATE_DIR, name, FD_STATE_DIR, aside) < 0 && errno != ENOENT)
		error = -errno;
	if (!error && renameat(FD_STATE_DIR, new, FD_STATE_DIR, name) < 0)
		error = -errno;
	if (!error && fsync(FD_STATE_DIR) < 0)
		error = -errno;
	if (error)
		unlinkat(FD_STATE_DIR, new, 0);
	return error;
}
