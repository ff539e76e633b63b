// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold_at PID WORD: stops that thread, and no other of its process, just before its next read(2) of a descriptor whose
 * link in /proc has WORD in it. So what comes in the meantime comes between two steps of a program that knows no pause.
 *
 * Says `ready` when it looks out for that, then `held`; at a line of input, or its end, the thread goes on, untraced,
 * and it says `over`. Needs the right to trace it.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

static int is_it(pid_t pid, const struct ptrace_syscall_info *info, const char *word)
{
	char link[64], name[4096];
	ssize_t size;

	if (info->op != PTRACE_SYSCALL_INFO_ENTRY || info->entry.nr != SYS_read)
		return 0;
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)info->entry.args[0]);
	size = readlink(link, name, sizeof(name) - 1);
	name[size > 0 ? size : 0] = 0;
	return strstr(name, word) != NULL;
}

static int let_go(pid_t pid)
{
	ptrace(PTRACE_DETACH, pid, 0, 0);
	printf("over\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};
	struct ptrace_syscall_info info;
	pid_t pid = argc == 3 ? atoi(argv[1]) : 0;
	int status, signal;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pid <= 0)
		return 2;
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0) {
		perror("ptrace");
		return 2;
	}
	waitpid(pid, &status, __WALL);
	printf("ready\n");
	for (;;) {
		signal = WSTOPSIG(status) & 0x80 || status >> 16 ? 0 : WSTOPSIG(status);
		if (ptrace(PTRACE_SYSCALL, pid, 0, signal == SIGTRAP ? 0 : signal) < 0)
			return 1;
		while (waitpid(pid, &status, __WALL | WNOHANG) == 0) {
			if (poll(&input, 1, 1) == 0)
				continue;
			ptrace(PTRACE_INTERRUPT, pid, 0, 0);
			waitpid(pid, &status, __WALL);
			return let_go(pid);
		}
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return 1;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 && is_it(pid, &info, argv[2]))
			break;
	}
	printf("held\n");
	poll(&input, 1, -1);
	return let_go(pid);
}
