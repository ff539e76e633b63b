// SPDX-License-Identifier: GPL-2.0-only
#include "bait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attachment.h"
#include "wire.h"

#define LEFTOVERS_MAX 1000
#define NAMES_MAX 100000 /* looked at; a folder that holds more is left alone behind that */

/* The beginning has no magic of any file type, and `#!` and ELF neither. */
static size_t content_make(char *out, size_t size, const unsigned char *canary, bool infected)
{
	uint64_t nonce = 0;
	size_t length;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		nonce = (uint64_t)getpid();
	length = (size_t)snprintf(out, size, "mailward selftest %016" PRIx64 "\n", nonce);
	memcpy(out + length, canary, BAIT_CANARY);
	if (!infected)
		out[length] = (char)~out[length];
	out[length + BAIT_CANARY] = '\n';
	return length + BAIT_CANARY + 1;
}

/* It must look as if mail software had written it, else a watch with origin = mail does not answer for it. Mail
 * software is known by its program, which we are not; the mark on the file is what the gate goes by in the end, and
 * root's alone to set. */
static int fill(int fd, const char *content, size_t size, bool of_mail)
{
	ssize_t written = write(fd, content, size);

	if (written != (ssize_t)size)
		return written < 0 ? -errno : -ENOSPC;
	if (of_mail && fsetxattr(fd, ORIGIN_XATTR, "mail", 4, 0) < 0)
		return -errno;
	return fchmod(fd, 0755) < 0 ? -errno : 0;
}

/* By its name, as everybody finds it, and yet the one that was made. */
static int take_path(struct bait *bait, const struct stat *made)
{
	struct stat found;

	bait->fd = openat(bait->folder, bait->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (bait->fd < 0)
		return -errno;
	if (fstat(bait->fd, &found) == 0 && found.st_ino == made->st_ino && found.st_dev == made->st_dev)
		return 0;
	close(bait->fd);
	return -ESTALE;
}

int bait_make(struct bait *bait, int folder, const unsigned char canary[BAIT_CANARY], bool infected, bool of_mail)
{
	char content[128];
	size_t size = content_make(content, sizeof(content), canary, infected);
	uint64_t random = 0;
	struct stat made;
	int fd, error;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	*bait = (struct bait){.folder = folder, .fd = -1};
	snprintf(bait->name, sizeof(bait->name), SELFTEST_PREFIX "%016" PRIx64, random);
	fd = openat(folder, bait->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = fill(fd, content, size, of_mail);
	if (!error && fstat(fd, &made) < 0)
		error = -errno;
	close(fd);
	if (!error)
		error = take_path(bait, &made);
	if (error)
		unlinkat(folder, bait->name, 0);
	return error;
}

void bait_remove(struct bait *bait)
{
	unlinkat(bait->folder, bait->name, 0);
	close(bait->fd);
	bait->fd = -1;
}

static bool is_ours(int folder, const char *name)
{
	struct stat status;

	return strncmp(name, SELFTEST_PREFIX, strlen(SELFTEST_PREFIX)) == 0 &&
	       fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
	       status.st_uid == 0;
}

void bait_sweep(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	unsigned removed = 0;

	if (!names) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (unsigned i = 0; i < NAMES_MAX && removed < LEFTOVERS_MAX && (entry = readdir(names)); i++)
		if (is_ours(folder, entry->d_name) && unlinkat(folder, entry->d_name, 0) == 0)
			removed++;
	closedir(names);
}

bool bait_may_run(int folder)
{
	struct statvfs status;

	return fstatvfs(folder, &status) < 0 || !(status.f_flag & ST_NOEXEC);
}
