// SPDX-License-Identifier: GPL-2.0-only
#include "opener.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t effective_uid(const char *status)
{
	const char *line = strstr(status, "\nUid:");
	unsigned real, effective;

	/* The name of the process, which it chooses itself, stands before this line, with its newlines escaped. */
	if (!line || sscanf(line + 5, "%u %u", &real, &effective) != 2)
		return UINT32_MAX;
	return effective;
}

void opener_identify(int proc_fd, int32_t pid, struct opener *opener_out)
{
	char name[32], status[1024];
	ssize_t size;
	int fd;

	opener_out->uid = UINT32_MAX;
	opener_out->exe_size = 0;
	if (pid <= 0)
		return;
	snprintf(name, sizeof(name), "%d/exe", pid);
	size = readlinkat(proc_fd, name, opener_out->exe, sizeof(opener_out->exe));
	if (size > 0)
		opener_out->exe_size = (size_t)size;
	snprintf(name, sizeof(name), "%d/status", pid);
	fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	size = read(fd, status, sizeof(status) - 1);
	close(fd);
	if (size > 0) {
		status[size] = 0;
		opener_out->uid = effective_uid(status);
	}
}
