/* SPDX-License-Identifier: GPL-2.0-only */
/* One thread followed from system call to system call, for as long as our own input says nothing. */
#ifndef MAILWARD_TESTS_TRACED_H
#define MAILWARD_TESTS_TRACED_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

/* Says `ready` when each of its calls will be seen. false: it can't be traced. */
static inline int traced_begin(pid_t pid, int *status_out)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0) {
		perror("ptrace");
		return 0;
	}
	waitpid(pid, status_out, __WALL);
	printf("ready\n");
	return 1;
}

/* Lets it run to its next system call, and stops it there, before the call. 1; 0: there is input, or its end, and it is
 * stopped anywhere; -1: it is gone. */
static inline int traced_call(pid_t pid, int *status, struct ptrace_syscall_info *call_out)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};

	for (;;) {
		int signal = WSTOPSIG(*status) & 0x80 || *status >> 16 ? 0 : WSTOPSIG(*status);
		if (ptrace(PTRACE_SYSCALL, pid, 0, signal == SIGTRAP ? 0 : signal) < 0)
			return -1;
		while (waitpid(pid, status, __WALL | WNOHANG) == 0) {
			if (poll(&input, 1, 1) == 0)
				continue;
			ptrace(PTRACE_INTERRUPT, pid, 0, 0);
			waitpid(pid, status, __WALL);
			return 0;
		}
		if (WIFEXITED(*status) || WIFSIGNALED(*status))
			return -1;
		if (WSTOPSIG(*status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(*call_out), call_out) > 0 &&
		    call_out->op == PTRACE_SYSCALL_INFO_ENTRY)
			return 1;
	}
}

#endif
