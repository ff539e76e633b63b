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

static bool read_of(int proc_fd, int32_t pid, const char *what, char *text, size_t size)
{
	char name[32];
	ssize_t length;
	int fd;

	snprintf(name, sizeof(name), "%d/%s", pid, what);
	fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, size - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	return length > 0;
}

void opener_identify(int proc_fd, int32_t pid, struct opener *opener_out)
{
	char name[32], status[1024];
	ssize_t size;

	opener_out->uid = UINT32_MAX;
	opener_out->exe_size = 0;
	if (pid <= 0)
		return;
	snprintf(name, sizeof(name), "%d/exe", pid);
	size = readlinkat(proc_fd, name, opener_out->exe, sizeof(opener_out->exe));
	if (size > 0)
		opener_out->exe_size = (size_t)size;
	if (read_of(proc_fd, pid, "status", status, sizeof(status)))
		opener_out->uid = effective_uid(status);
}

bool opener_was(int proc_fd, int32_t pid, const char *comm, uint64_t boot_ns)
{
	char stat[1024], *start, *end;
	unsigned long long ticks;

	/* "PID (NAME) STATE ...", proc(5); the name may hold parentheses. Field 22 is the start in ticks since boot. */
	if (pid <= 0 || !read_of(proc_fd, pid, "stat", stat, sizeof(stat)))
		return false;
	start = strchr(stat, '(');
	end = strrchr(stat, ')');
	if (!start || !end || end < start)
		return false;
	*end = 0;
	if (strcmp(start + 1, comm) != 0 ||
	    sscanf(end + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		   &ticks) != 1)
		return false;
	return ticks * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK)) <= boot_ns;
}
