// SPDX-License-Identifier: GPL-2.0-only
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"

#define NOT_THERE 127
#define END_MS 500 /* for a program that has closed its output */

static _Noreturn void child_run(const struct command *command, int out, int err)
{
	char path[256];
	int null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	closefrom(STDERR_FILENO + 1);
	execvp(command->argv[0], (char *const *)command->argv);
	snprintf(path, sizeof(path), "/usr/sbin/%s", command->argv[0]);
	execv(path, (char *const *)command->argv);
	_exit(NOT_THERE);
}

static pid_t child_start(const struct command *command, int *out_end, int *err_end)
{
	int out[2], err[2], error;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(err, O_CLOEXEC) < 0) {
		error = -errno;
		close(out[0]);
		close(out[1]);
		return error;
	}
	pid = fork();
	if (pid == 0)
		child_run(command, out[1], err[1]);
	error = -errno;
	close(out[1]);
	close(err[1]);
	if (pid < 0) {
		close(out[0]);
		close(err[0]);
		return error;
	}
	*out_end = out[0];
	*err_end = err[0];
	return pid;
}

/* 1: there was something; 0: the end; -E2BIG, -ENOMEM. */
static int take_output(struct command *command, int fd, size_t *room)
{
	ssize_t got;

	if (command->output_size + 4096 + 1 > *room) {
		size_t more = *room ? *room * 2 : 8192;
		char *bigger = realloc(command->output, more);
		if (!bigger)
			return -ENOMEM;
		command->output = bigger;
		*room = more;
	}
	got = read(fd, command->output + command->output_size, 4096);
	if (got <= 0)
		return 0;
	command->output_size += (size_t)got;
	return command->output_size > command->output_most ? -E2BIG : 1;
}

static bool take_error(struct command *command, int fd)
{
	char dropped[512];
	size_t used = strlen(command->said), room = sizeof(command->said) - 1 - used;
	ssize_t got = room ? read(fd, command->said + used, room) : read(fd, dropped, sizeof(dropped));

	if (got > 0 && room)
		command->said[used + (size_t)got] = 0;
	return got > 0;
}

/* Until it has closed standard output, and standard error is empty; or the time is over. */
static int child_hear(struct command *command, int out, int err)
{
	uint64_t until = now_ns() + command->patience_ms * 1000000ull, now;
	struct pollfd ends[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
	size_t room = 0;
	int result;

	while (ends[0].fd >= 0) {
		now = now_ns();
		if (now >= until)
			return -ETIMEDOUT;
		if (poll(ends, 2, (int)((until - now) / 1000000) + 1) < 0 && errno != EINTR)
			return -errno;
		if (ends[1].fd >= 0 && ends[1].revents && !take_error(command, err))
			ends[1].fd = -1;
		if (!ends[0].revents)
			continue;
		result = take_output(command, out, &room);
		if (result < 0)
			return result;
		if (result == 0)
			ends[0].fd = -1;
	}
	ends[1].events = POLLIN;
	while (ends[1].fd >= 0 && poll(&ends[1], 1, 0) == 1 && take_error(command, err))
		;
	return 0;
}

static int child_end(pid_t pid, int error)
{
	struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int status = 0;

	if (error || end.fd < 0 || poll(&end, 1, END_MS) != 1)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (end.fd >= 0)
		close(end.fd);
	if (error)
		return error;
	if (!WIFEXITED(status))
		return -ECHILD;
	return WEXITSTATUS(status) == NOT_THERE ? -ENOENT : WEXITSTATUS(status);
}

int command_run(struct command *command)
{
	int out = -1, err = -1, error;
	pid_t pid;

	command->output = NULL;
	command->output_size = 0;
	command->said[0] = 0;
	pid = child_start(command, &out, &err);
	if (pid < 0)
		return (int)pid;
	error = child_hear(command, out, err);
	close(out);
	close(err);
	error = child_end(pid, error);
	if (command->output)
		command->output[command->output_size] = 0;
	return error;
}

void command_free(struct command *command)
{
	free(command->output);
	command->output = NULL;
	command->output_size = 0;
}
