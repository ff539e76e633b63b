// SPDX-License-Identifier: GPL-2.0-only
/* What was restored: its opens are denied as before, but it stays where it is until its content changes. By the inode,
 * and by the digest where its change time has moved (a rename does that). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quarantine_state.h"

#define FILE_NAME "restored"
#define BACK_MAX 65536u

struct back {
	uint64_t dev, ino, size;
	int64_t changed_ns;
	uint8_t digest[32];
};

/* A ring of BACK_MAX: the oldest is forgotten. No static array: keeper and gate, which are the same program, lock
 * those. */
static struct back *list;
static uint32_t count, next;

static int64_t changed_ns(const struct stat *file)
{
	return file->st_ctim.tv_sec * 1000000000ll + file->st_ctim.tv_nsec;
}

int back_read(void)
{
	int fd;
	ssize_t size;

	list = calloc(BACK_MAX, sizeof(*list));
	if (!list)
		return -ENOMEM;
	fd = openat(FD_STATE_DIR, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	size = fd < 0 ? 0 : read(fd, list, BACK_MAX * sizeof(*list));
	if (fd >= 0)
		close(fd);
	count = size > 0 ? (uint32_t)((size_t)size / sizeof(list[0])) : 0;
	next = count % BACK_MAX;
	return 0;
}

static void back_write(void)
{
	int fd = openat(FD_STATE_DIR, FILE_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t size = (ssize_t)(count * sizeof(list[0]));

	if (fd < 0)
		return;
	if (write(fd, list, (size_t)size) == size && fsync(fd) == 0)
		renameat(FD_STATE_DIR, FILE_NAME ".new", FD_STATE_DIR, FILE_NAME);
	close(fd);
}

/* The device's number may be another one after a reboot: the digest decides then. */
static struct back *find(const struct stat *file)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].ino == file->st_ino && list[i].size == (uint64_t)file->st_size)
			return &list[i];
	return NULL;
}

void back_add(const struct stat *file, const uint8_t digest[32])
{
	struct back *place = find(file);

	if (!place) {
		place = &list[next];
		next = (next + 1) % BACK_MAX;
		count += count < BACK_MAX;
	}
	*place = (struct back){.dev = file->st_dev,
			       .ino = file->st_ino,
			       .size = (uint64_t)file->st_size,
			       .changed_ns = changed_ns(file)};
	memcpy(place->digest, digest, sizeof(place->digest));
	back_write();
}

bool back_is(struct steward *steward, int fd, const struct stat *file)
{
	struct back *place = find(file);
	uint8_t digest[32];
	int error;

	if (!place)
		return false;
	if (place->changed_ns == changed_ns(file) && place->dev == file->st_dev)
		return true;
	error = digest_file(steward, fd, digest);
	if (error != -EFBIG && (error < 0 || memcmp(digest, place->digest, sizeof(digest)) != 0))
		return false;
	place->changed_ns = changed_ns(file);
	place->dev = file->st_dev;
	return true;
}
