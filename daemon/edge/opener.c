// SPDX-License-Identifier: GPL-2.0-only
#include "opener.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

void opener_identify(int proc_fd, int32_t pid, struct opener *opener_out)
{
	uint32_t real;
	char name[32];
	ssize_t size;

	opener_out->uid = UINT32_MAX;
	opener_out->exe_size = 0;
	if (pid <= 0)
		return;
	snprintf(name, sizeof(name), "%d/exe", pid);
	size = readlinkat(proc_fd, name, opener_out->exe, sizeof(opener_out->exe));
	if (size > 0)
		opener_out->exe_size = (size_t)size;
	if (!proc_uids(proc_fd, pid, &real, &opener_out->uid))
		opener_out->uid = UINT32_MAX;
}

bool opener_was(int proc_fd, int32_t pid, const char *comm, uint64_t boot_ns)
{
	struct proc_stat now;

	return pid > 0 && proc_stat(proc_fd, pid, &now) && strcmp(now.name, comm) == 0 &&
	       now.started * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK)) <= boot_ns;
}
