// SPDX-License-Identifier: GPL-2.0-only
#include "running.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "proc.h"

static bool read_process(int proc_fd, struct running *process)
{
	struct proc_stat now;
	uint32_t effective;

	if (!proc_stat(proc_fd, process->pid, &now) || now.state == 'Z' || now.state == 'X' ||
	    !proc_uids(proc_fd, process->pid, &process->uid, &effective))
		return false;
	process->parent = now.parent;
	process->started = now.started;
	return true;
}

/* Asks no server: its file may lie on one that is gone. */
static void read_exe(int proc_fd, struct running *process)
{
	struct statx status;
	char path[64];

	snprintf(path, sizeof(path), "%d/exe", process->pid);
	process->device = process->inode = 0;
	if (statx(proc_fd, path, AT_STATX_DONT_SYNC, STATX_INO, &status) < 0)
		return;
	process->device = makedev(status.stx_dev_major, status.stx_dev_minor);
	process->inode = status.stx_ino;
}

bool running_look_again(int proc_fd, struct running *process)
{
	struct running now = *process;

	if (!read_process(proc_fd, &now) || now.started != process->started)
		return false;
	read_exe(proc_fd, process);
	return true;
}

int running_list(int proc_fd, struct running **list_out)
{
	int fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0, room = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	*list_out = NULL;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		struct running process = {.pid = (int32_t)strtol(entry->d_name, NULL, 10)};
		if (!isdigit((unsigned char)entry->d_name[0]) || !read_process(proc_fd, &process))
			continue;
		read_exe(proc_fd, &process);
		if (count == room) {
			struct running *larger =
				realloc(*list_out, (size_t)(room = room ? 2 * room : 256) * sizeof(**list_out));
			if (!larger)
				break;
			*list_out = larger;
		}
		(*list_out)[count++] = process;
	}
	closedir(dir);
	return count;
}
