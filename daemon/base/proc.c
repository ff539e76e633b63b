// SPDX-License-Identifier: GPL-2.0-only
#include "proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool read_file(int proc_fd, int32_t pid, const char *file, char *text, size_t size)
{
	char path[32];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "%d/%s", pid, file);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, size - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	return length > 0;
}

bool proc_stat(int proc_fd, int32_t pid, struct proc_stat *stat_out)
{
	char text[1024], *start, *end;
	unsigned long long started;

	/* PID (NAME) STATE PARENT ...; the start is the 22nd. The name may hold brackets. */
	if (!read_file(proc_fd, pid, "stat", text, sizeof(text)))
		return false;
	start = strchr(text, '(');
	end = strrchr(text, ')');
	if (!start || !end || end < start)
		return false;
	*end = 0;
	snprintf(stat_out->name, sizeof(stat_out->name), "%s", start + 1);
	if (sscanf(end + 1, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		   &stat_out->state, &stat_out->parent, &started) != 3)
		return false;
	stat_out->started = started;
	return true;
}

bool proc_uids(int proc_fd, int32_t pid, uint32_t *real_out, uint32_t *effective_out)
{
	char text[1024];
	const char *line;

	/* The name of the process, which it chooses itself, stands before this line, with its newlines escaped. */
	return read_file(proc_fd, pid, "status", text, sizeof(text)) && (line = strstr(text, "\nUid:")) &&
	       sscanf(line + 5, "%u %u", real_out, effective_out) == 2;
}
