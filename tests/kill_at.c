// SPDX-License-Identifier: GPL-2.0-only
/*
 * kill_at PID N [WORD...]: SIGKILL to that process just before the N-th system call (from 1) by which it changes
 * something on a disk, from now on. So every step of a change can be met, not only those that a random moment meets.
 * fsync(2) is none of them: after a kill nothing shows whether it was called. Nor is what it does to a file with one of
 * the words in its name: what the process writes of its own accord, in between, would make the count another one.
 *
 * Says `ready` when it counts; then `killed NAME ARGUMENT`; or, when its input ends before, `passed COUNT`, and the
 * process goes on untouched. Needs the right to trace it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "traced.h"

static const struct call {
	long number;
	const char *name;
	int path;  /* which argument is the path; -1: none, the first one is the open file */
	int flags; /* which argument must have O_CREAT or a temporary file's flag in it; -1: it always counts */
} calls[] = {
	{SYS_mkdirat, "mkdirat", 1, -1},      {SYS_openat, "openat", 1, 2},   {SYS_renameat, "renameat", 3, -1},
	{SYS_renameat2, "renameat2", 3, -1},  {SYS_linkat, "linkat", 3, -1},  {SYS_unlinkat, "unlinkat", 1, -1},
	{SYS_fchown, "fchown", -1, -1},       {SYS_fchmod, "fchmod", -1, -1}, {SYS_utimensat, "utimensat", -1, -1},
	{SYS_fsetxattr, "fsetxattr", -1, -1}, {SYS_write, "write", -1, -1},
#ifdef SYS_rename
	{SYS_rename, "rename", 1, -1},        {SYS_unlink, "unlink", 0, -1},
#endif
};

static void text_of(pid_t pid, unsigned long address, char *out, size_t size)
{
	struct iovec here = {out, size - 1}, there = {(void *)address, size - 1};
	ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);

	out[got > 0 ? got : 0] = 0;
}

/* The name of what it changes. */
static void name_of(pid_t pid, const struct call *call, const struct ptrace_syscall_info *info, char *out, size_t size)
{
	char link[64], path[4096];
	const char *slash;
	ssize_t got;

	if (call->path >= 0) {
		text_of(pid, (unsigned long)info->entry.args[call->path], out, size);
		return;
	}
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)info->entry.args[0]);
	got = readlink(link, path, sizeof(path) - 1);
	path[got > 0 ? got : 0] = 0;
	slash = strrchr(path, '/');
	snprintf(out, size, "%s", slash ? slash + 1 : path);
}

static int is_other(const char *name, char *const *words)
{
	while (*words && !strstr(name, *words))
		words++;
	return *words != NULL;
}

/* A name that is not there is not taken away, and that changes nothing. */
static int is_there(pid_t pid, const struct ptrace_syscall_info *info)
{
	char name[256], path[400];

	text_of(pid, (unsigned long)info->entry.args[1], name, sizeof(name));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d/%s", (int)pid, (int)info->entry.args[0], name);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const struct call *change(const struct ptrace_syscall_info *info)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if ((long)info->entry.nr == calls[i].number)
			return calls[i].flags < 0 ||
					       info->entry.args[calls[i].flags] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))
				       ? &calls[i]
				       : NULL;
	return NULL;
}

static int killed(pid_t pid, const struct call *call, const char *name)
{
	kill(pid, SIGKILL);
	printf("killed %s %s\n", call->name, name);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct ptrace_syscall_info info;
	pid_t pid = argc >= 3 ? atoi(argv[1]) : 0;
	long left = argc >= 3 ? atol(argv[2]) : 0, count = 0;
	int status, going;
	char name[4096];

	if (pid <= 0 || left <= 0 || !traced_begin(pid, &status))
		return 2;
	while ((going = traced_call(pid, &status, &info)) == 1) {
		const struct call *call = change(&info);
		if (!call || (call->number == SYS_unlinkat && !is_there(pid, &info)))
			continue;
		name_of(pid, call, &info, name, sizeof(name));
		if (!is_other(name, argv + 3) && ++count == left)
			return killed(pid, call, name);
	}
	if (going < 0)
		return 1;
	ptrace(PTRACE_DETACH, pid, 0, 0);
	printf("passed %ld\n", count);
	return 0;
}
