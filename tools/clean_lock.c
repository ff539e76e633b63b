// SPDX-License-Identifier: GPL-2.0-only
#include "clean_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define LOCK_NS 10000000000ull
#define OURS " mailward\n" /* behind the process id in a lock of ours; others read the number alone */

static void pause_short(void)
{
	struct timespec time = {.tv_nsec = 50000000};

	nanosleep(&time, NULL);
}

/* A lock that a run of ours left behind when it was killed. Whose process still runs may be in the midst of it; the
 * stale lock of somebody else is its owner's matter. We hold the fcntl(2) lock, so no two of us come here at once. */
static bool is_left_behind(const struct mbox_locked *locked)
{
	int fd = openat(locked->folder, locked->lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[64] = "", *end;
	struct stat status;
	long pid;
	bool ours;

	if (fd < 0)
		return false;
	ours = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
	       read(fd, text, sizeof(text) - 1) > 0;
	close(fd);
	pid = strtol(text, &end, 10);
	return ours && pid > 0 && strcmp(end, OURS) == 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* With our number in it from the moment it is there, where the file system has nameless files. */
static int dotlock_make(const struct mbox_locked *locked)
{
	int fd = openat(locked->folder, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600), error = 0;
	bool nameless = fd >= 0;
	char path[32];

	if (!nameless)
		fd = openat(locked->folder, locked->lock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (dprintf(fd, "%d" OURS, getpid()) < 0 ||
	    (nameless && linkat(AT_FDCWD, path, locked->folder, locked->lock, AT_SYMLINK_FOLLOW) < 0))
		error = -errno;
	close(fd);
	if (error && !nameless)
		unlinkat(locked->folder, locked->lock, 0);
	return error;
}

static int dotlock_take(struct mbox_locked *locked, struct removal *removal)
{
	uint64_t until = now_ns() + LOCK_NS;
	int error;

	while ((error = dotlock_make(locked)) < 0) {
		if (error != -EEXIST)
			return clean_failed(removal, error, "%s: %s", locked->lock, strerror(-error));
		if (is_left_behind(locked) && unlinkat(locked->folder, locked->lock, 0) == 0)
			continue;
		if (now_ns() > until)
			return clean_failed(removal, -EBUSY,
					    "%s is there for more than ten seconds: somebody works on the mbox",
					    locked->lock);
		pause_short();
	}
	locked->has_lock = true;
	return 0;
}

static int record_lock_take(struct mbox_locked *locked, struct removal *removal)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	uint64_t until = now_ns() + LOCK_NS;

	while (fcntl(locked->file, F_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return clean_failed(removal, -errno, "the mbox could not be locked: %s", strerror(errno));
		if (now_ns() > until)
			return clean_failed(removal, -EBUSY, "the mbox was locked for more than ten seconds");
		pause_short();
	}
	return 0;
}

static void signals_hold(struct mbox_locked *locked)
{
	static const int held[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		sigaddset(&set, held[i]);
	locked->has_signals = sigprocmask(SIG_BLOCK, &set, &locked->signals) == 0;
}

static int names_make(struct mbox_locked *locked, const char *base, struct removal *removal)
{
	if (snprintf(locked->base, sizeof(locked->base), "%s", base) >= (int)sizeof(locked->base) - 20)
		return clean_failed(removal, -ENAMETOOLONG, "its name is too long for a lock");
	snprintf(locked->lock, sizeof(locked->lock), "%s.lock", locked->base);
	snprintf(locked->copying, sizeof(locked->copying), "%s.mailward-copying", locked->base);
	snprintf(locked->before, sizeof(locked->before), "%s.mailward-before", locked->base);
	return 0;
}

int mbox_lock(const char *path, struct mbox_locked *locked, struct removal *removal)
{
	const char *slash = strrchr(path, '/');
	char folder[4097];
	int error;

	*locked = (struct mbox_locked){.folder = -1, .file = -1};
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	error = names_make(locked, slash + 1, removal);
	if (error)
		return error;
	locked->folder = open(folder[0] ? folder : "/", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (locked->folder < 0)
		return clean_failed(removal, -errno, "its folder: %s", strerror(errno));
	locked->file = openat(locked->folder, locked->base, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (locked->file < 0)
		return clean_failed(removal, -errno, "the mbox: %s", strerror(errno));
	error = record_lock_take(locked, removal);
	if (error)
		return error;
	signals_hold(locked);
	return dotlock_take(locked, removal);
}

void mbox_unlock(struct mbox_locked *locked)
{
	if (locked->has_lock)
		unlinkat(locked->folder, locked->lock, 0);
	if (locked->file >= 0)
		close(locked->file);
	if (locked->folder >= 0)
		close(locked->folder);
	if (locked->has_signals)
		sigprocmask(SIG_SETMASK, &locked->signals, NULL);
}
