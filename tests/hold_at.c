// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold_at PID WORD: stops that thread, and no other of its process, just before its next read(2) of a descriptor whose
 * link in /proc has WORD in it. So what comes in the meantime comes between two steps of a program that knows no pause.
 *
 * Says `ready` when it looks out for that, then `held`; at a line of input, or its end, the thread goes on, untraced,
 * and it says `over`. Needs the right to trace it.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "traced.h"

static int is_it(pid_t pid, const struct ptrace_syscall_info *call, const char *word)
{
	char link[64], name[4096];
	ssize_t size;

	if (call->entry.nr != SYS_read)
		return 0;
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)call->entry.args[0]);
	size = readlink(link, name, sizeof(name) - 1);
	name[size > 0 ? size : 0] = 0;
	return strstr(name, word) != NULL;
}

int main(int argc, char **argv)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};
	struct ptrace_syscall_info call;
	pid_t pid = argc == 3 ? atoi(argv[1]) : 0;
	int status, going;

	if (pid <= 0 || !traced_begin(pid, &status))
		return 2;
	do
		going = traced_call(pid, &status, &call);
	while (going == 1 && !is_it(pid, &call, argv[2]));
	if (going < 0)
		return 1;
	if (going == 1) {
		printf("held\n");
		poll(&input, 1, -1);
	}
	ptrace(PTRACE_DETACH, pid, 0, 0);
	printf("over\n");
	return 0;
}
