// SPDX-License-Identifier: GPL-2.0-only
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000
#endif
#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000
#endif
#define NAMES (FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_TARGET_FID)
#define PATIENCE_MS 2000
#define FILE_NAME "held"

static bool failed(struct trial *trial, const char *what)
{
	snprintf(trial->why, sizeof(trial->why), "%s: %s", what, strerror(errno));
	return false;
}

/* A tmpfs that has no place in any tree of names; its descriptor, or -1. */
static int own_tmpfs(void)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), mount = -1, folder = -1;

	if (context >= 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = fsmount(context, FSMOUNT_CLOEXEC, 0); /* as O_PATH */
	if (mount >= 0)
		folder = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount >= 0)
		close(mount);
	if (context >= 0)
		close(context);
	return folder;
}

static bool make_file(int folder)
{
	int fd = openat(folder, FILE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	bool made = fd >= 0 && write(fd, "x\n", 2) == 2;

	if (fd >= 0)
		close(fd);
	return made;
}

static int group_open(unsigned flags)
{
	return fanotify_init(flags | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool group_can(unsigned flags)
{
	int fd = group_open(flags);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool mark_can(int group, unsigned flags, uint64_t mask, int folder, const char *name)
{
	return fanotify_mark(group, FAN_MARK_ADD | flags, mask, folder, name) == 0;
}

/* The exit code is the errno. */
static pid_t opener_start(int folder)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		_exit(openat(folder, FILE_NAME, O_RDONLY | O_CLOEXEC) < 0 ? errno & 0xff : 0);
	}
	return pid;
}

/* Takes one event and refuses it. */
static bool refuse_one(int group)
{
	struct pollfd ready = {.fd = group, .events = POLLIN};
	struct fanotify_event_metadata event;
	struct fanotify_response response = {.response = FAN_DENY};
	bool answered;

	if (poll(&ready, 1, PATIENCE_MS) != 1 || read(group, &event, sizeof(event)) != (ssize_t)sizeof(event) ||
	    event.fd < 0)
		return false;
	response.fd = event.fd;
	answered =
		(event.mask & FAN_OPEN_PERM) && write(group, &response, sizeof(response)) == (ssize_t)sizeof(response);
	close(event.fd);
	return answered;
}

/* Closes the group, which lets go whoever still waits. */
static bool refuses(struct trial *trial, int group, int folder)
{
	pid_t pid = opener_start(folder);
	bool answered = pid > 0 && refuse_one(group);
	int status = 0;

	close(group);
	if (pid < 0)
		return failed(trial, "a child cannot be started");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (answered && WIFEXITED(status) && WEXITSTATUS(status) == EPERM)
		return true;
	snprintf(trial->why, sizeof(trial->why), "fanotify: an open was %s",
		 answered ? "refused, and yet it went on" : "not reported");
	return false;
}

static bool try_permission(struct trial *trial, int folder)
{
	int group = group_open(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS);

	if (group < 0)
		return failed(trial, "fanotify_init for permission events");
	if (!mark_can(group, FAN_MARK_FILESYSTEM, FAN_OPEN_PERM, folder, NULL)) {
		failed(trial, "fanotify_mark for permission events");
		close(group);
		return false;
	}
	trial->exec = mark_can(group, FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC_PERM, folder, NULL);
	fanotify_mark(group, FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC_PERM, folder, NULL);
	trial->evictable = mark_can(group, FAN_MARK_IGNORE | FAN_MARK_EVICTABLE, FAN_OPEN_PERM, folder, FILE_NAME);
	fanotify_mark(group, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
	return refuses(trial, group, folder);
}

void trial_run(struct trial *trial)
{
	int folder = own_tmpfs();

	*trial = (struct trial){0};
	if (folder < 0 || !make_file(folder)) {
		failed(trial, "a tmpfs to try it on");
	} else {
		trial->permission = try_permission(trial, folder);
		trial->names = group_can(FAN_CLASS_NOTIF | FAN_UNLIMITED_QUEUE | NAMES);
		if (trial->permission && !trial->names)
			failed(trial, "fanotify_init for moves and names");
		trial->report_fd_error = group_can(FAN_CLASS_CONTENT | FAN_REPORT_FD_ERROR);
		trial->pidfd = group_can(FAN_CLASS_CONTENT | FAN_REPORT_PIDFD);
	}
	if (folder >= 0)
		close(folder);
}
