// SPDX-License-Identifier: GPL-2.0-only
#include "places.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "steward.h"
#include "wire.h"

#define LOCK_NAME "lock"
#define LISTEN_BACKLOG 128

static char why[PATH_MAX + 200];

const char *places_why(void)
{
	return why;
}

/* Takes errno as it is, closes fd (-1: none), returns -errno. */
__attribute__((format(printf, 2, 3))) static int failed(int fd, const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	if (fd >= 0)
		close(fd);
	return -error;
}

void places_identity(const char *user, unsigned fallback, struct identity *identity_out)
{
	struct passwd *entry = getpwnam(user);

	*identity_out = (struct identity){.uid = fallback, .gid = fallback, .is_fallback = true};
	if (entry && entry->pw_uid != 0)
		*identity_out = (struct identity){.uid = entry->pw_uid, .gid = entry->pw_gid};
}

static void make_with_parents(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(part, 0755);
		*slash = '/';
	}
	mkdir(part, 0755);
}

int places_folder(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		make_with_parents(path);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return failed(-1, "%s: %s", path, strerror(errno));
	if (fstat(fd, &status) < 0)
		return failed(fd, "%s: %s", path, strerror(errno));
	if ((status.st_uid != 0 && status.st_uid != geteuid()) || (status.st_mode & (S_IWGRP | S_IWOTH))) {
		errno = EPERM;
		return failed(fd, "%s must belong to root and be writable by nobody else (chown root, chmod 755)",
			      path);
	}
	return fd;
}

/* One entry of a folder whose owner was before->st_uid. Only plain files with one name: a link could be to anything. */
static void hand_over_entry(int folder, const char *name, const struct stat *before, const struct identity *owner)
{
	int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
	    status.st_uid == before->st_uid && fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) < 0)
		errno = 0; /* its new owner will say that it can't be read */
	close(fd);
}

static void hand_over_entries(int folder, const struct stat *before, const struct identity *owner)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;

	if (!entries) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries))
		hand_over_entry(folder, entry->d_name, before, owner);
	closedir(entries);
}

int places_subfolder(int parent, const char *name, const struct identity *owner)
{
	struct stat status;
	int fd;

	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return failed(-1, "can't make the folder %s: %s", name, strerror(errno));
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return failed(fd, "can't open the folder %s: %s", name, strerror(errno));
	if (status.st_uid != owner->uid && status.st_uid != 0)
		hand_over_entries(fd, &status, owner);
	if (fchown(fd, owner->uid, owner->gid) < 0 || fchmod(fd, 0700) < 0)
		return failed(fd, "can't give the folder %s to uid %u: %s", name, owner->uid, strerror(errno));
	return fd;
}

/* Is the file that we have locked still the one with that name? Its last owner removes it. */
static bool lock_is_current(int fd, int runtime)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && fstatat(runtime, LOCK_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

int places_lock(int runtime)
{
	char text[32] = "";

	for (;;) {
		int fd = openat(runtime, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return failed(-1, "can't make the lock: %s", strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
			if (size > 0)
				text[strcspn(text, "\n")] = 0;
			errno = EBUSY;
			return failed(fd, "another mailwardd (pid %s) holds this runtime directory", text);
		}
		if (lock_is_current(fd, runtime)) {
			int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
			if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
				return failed(fd, "can't write the lock: %s", strerror(errno));
			return fd;
		}
		close(fd);
	}
}

int places_listen(int runtime, const char *name, int group)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int bound;

	if (fd < 0)
		return failed(-1, "socket: %s", strerror(errno));
	/* By the folder's descriptor: a path of the user's may be longer than an address can be. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", runtime, name);
	unlinkat(runtime, name, 0);
	mask = umask(0177);
	bound = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (bound < 0)
		return failed(fd, "can't make the socket %s: %s", name, strerror(errno));
	if (group >= 0 &&
	    (fchownat(runtime, name, 0, (gid_t)group, AT_SYMLINK_NOFOLLOW) < 0 || fchmodat(runtime, name, 0660, 0) < 0))
		return failed(fd, "can't give the socket %s to its group: %s", name, strerror(errno));
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return failed(fd, "can't listen on %s: %s", name, strerror(errno));
	return fd;
}

int places_own_executable(void)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	return fd >= 0 ? fd : failed(-1, "/proc/self/exe: %s", strerror(errno));
}

int places_scanner(void)
{
	static const char installed[] = PREFIX "/libexec/mailward/mailward-scanner";
	char beside[PATH_MAX + 32];
	ssize_t length = readlink("/proc/self/exe", beside, PATH_MAX);
	int fd = -1;

	if (length > 0) {
		beside[length] = 0;
		strcpy(strrchr(beside, '/'), "/mailward-scanner");
		fd = open(beside, O_PATH | O_CLOEXEC);
	}
	if (fd < 0)
		fd = open(installed, O_PATH | O_CLOEXEC);
	return fd >= 0 ? fd : failed(-1, "mailward-scanner is neither beside mailwardd nor at %s", installed);
}

void places_leave(int runtime)
{
	unlinkat(runtime, KEEPER_SOCKET, 0);
	unlinkat(runtime, RECORDER_SOCKET, 0);
	unlinkat(runtime, STEWARD_SOCKET, 0);
	unlinkat(runtime, LOCK_NAME, 0);
}
