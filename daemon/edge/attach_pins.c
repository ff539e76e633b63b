// SPDX-License-Identifier: GPL-2.0-only
#include "attach_pins.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "hooks.h"

#define BPFFS "/sys/fs/bpf"
#define DEPTH 4 /* HOOKS_DIR / v1 / links-0 / name */
#define LOCK_TRIES 50
#define LOCK_PAUSE_NS 20000000l

struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

static uint32_t remove_from(int folder, const char *but, const char *and_but, int depth);

static bool remove_one(int parent, const char *name, int depth, uint32_t *count)
{
	int folder;

	if (unlinkat(parent, name, 0) == 0) {
		++*count;
		return true;
	}
	folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return false;
	if (depth > 0)
		*count += remove_from(folder, NULL, NULL, depth - 1);
	close(folder);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

static bool is_name(const char *name, const char *other)
{
	return other && strcmp(name, other) == 0;
}

static bool is_dots(const char *name)
{
	return is_name(name, ".") || is_name(name, "..");
}

/* Again and again, as long as something could be removed: a listing that changes under us may leave something out. */
static uint32_t remove_from(int folder, const char *but, const char *and_but, int depth)
{
	_Alignas(struct entry) char buffer[2048];
	uint32_t count = 0;
	bool removed = true;
	long got;

	while (removed) {
		removed = false;
		if (lseek(folder, 0, SEEK_SET) < 0)
			break;
		while ((got = syscall(SYS_getdents64, folder, buffer, sizeof(buffer))) > 0) {
			for (long at = 0; at < got;) {
				const struct entry *entry = (const struct entry *)(buffer + at);
				at += entry->size;
				if (!is_dots(entry->name) && !is_name(entry->name, but) &&
				    !is_name(entry->name, and_but))
					removed = remove_one(folder, entry->name, depth, &count) || removed;
			}
		}
	}
	return count;
}

uint32_t pins_remove(int folder, const char *name)
{
	uint32_t count = 0;

	remove_one(folder, name, DEPTH - 1, &count);
	return count;
}

uint32_t pins_clear(int folder, const char *but, const char *and_but)
{
	return remove_from(folder, but, and_but, DEPTH - 1);
}

bool pins_others(int folder, const char *than)
{
	_Alignas(struct entry) char buffer[2048];
	long got;

	if (lseek(folder, 0, SEEK_SET) < 0)
		return false;
	while ((got = syscall(SYS_getdents64, folder, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < got;) {
			const struct entry *entry = (const struct entry *)(buffer + at);
			at += entry->size;
			if (!is_dots(entry->name) && !is_name(entry->name, than))
				return true;
		}
	}
	return false;
}

void pins_free_name(int folder, const char *stem, char *out)
{
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(out, PINS_NAME_SIZE, "%s%u", stem, i);
		if (faccessat(folder, out, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return;
	}
}

/* ---- HOOKS_DIR ---- */

static int mount_bpffs(char *said, size_t size)
{
	struct statfs status;

	if (statfs(BPFFS, &status) < 0) {
		snprintf(said, size, "there is no " BPFFS);
		return -errno;
	}
	if ((unsigned long)status.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
		return 0;
	snprintf(said, size, "no bpf file system is mounted on " BPFFS ", and it can't be mounted: %s",
		 strerror(errno));
	return -errno;
}

static bool is_bpffs(void)
{
	struct statfs status;

	return statfs(BPFFS, &status) == 0 && (unsigned long)status.f_type == BPF_FS_MAGIC;
}

/* Where bpffs is open to everybody somebody else may have taken our name, and hold a lock on it. He keeps his folder,
 * under another name. */
static void move_stray(void)
{
	int parent = open(BPFFS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[PINS_NAME_SIZE];

	if (parent < 0)
		return;
	pins_free_name(parent, "mailward-stray-", name);
	if (renameat(AT_FDCWD, HOOKS_DIR, parent, name) == 0)
		pins_remove(parent, name);
	close(parent);
}

/* -EAGAIN: to be tried again. */
static int try_home(bool make)
{
	struct stat held, named;
	int fd;

	if (make && mkdir(HOOKS_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(HOOKS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
		move_stray();
		return -EAGAIN;
	}
	if (fd < 0)
		return make && errno == ENOENT ? -EAGAIN : -errno;
	if (fstat(fd, &held) < 0 || held.st_uid != 0 || held.st_mode & 077) {
		move_stray();
		close(fd);
		return -EAGAIN;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int error = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return error;
	}
	/* Who had it before may have removed the folder. */
	if (stat(HOOKS_DIR, &named) < 0 || named.st_ino != held.st_ino || named.st_dev != held.st_dev) {
		close(fd);
		return -EAGAIN;
	}
	return fd;
}

int pins_home(bool make, char *said, size_t size)
{
	struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
	int fd;

	said[0] = 0;
	if (!make && !is_bpffs())
		return -ENOENT;
	fd = make ? mount_bpffs(said, size) : 0;
	if (fd < 0)
		return fd;
	for (int i = 0; i < LOCK_TRIES; i++) {
		fd = try_home(make);
		if (fd != -EBUSY && fd != -EAGAIN)
			break;
		nanosleep(&pause, NULL);
	}
	if (fd < 0 && fd != -EBUSY)
		snprintf(said, size, "%s: %s", HOOKS_DIR, strerror(-fd));
	return fd == -EAGAIN ? -EBUSY : fd;
}
