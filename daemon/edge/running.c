// SPDX-License-Identifier: GPL-2.0-only
#include "running.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static bool read_file(int proc_fd, int32_t pid, const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, out, size - 1);
	close(fd);
	if (got <= 0)
		return false;
	out[got] = 0;
	return true;
}

/* pid (name) state ppid ... starttime is the 22nd; the name may hold anything, so from its last bracket on. */
static bool read_stat(int proc_fd, struct running *process)
{
	char text[1024], *at;
	long parent = 0;
	unsigned long long started = 0;

	if (!read_file(proc_fd, process->pid, "stat", text, sizeof(text)))
		return false;
	at = strrchr(text, ')');
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return false;
	at += 4;
	for (int field = 4; field <= 22; field++) {
		if (field == 4)
			parent = strtol(at, NULL, 10);
		if (field == 22)
			started = strtoull(at, NULL, 10);
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	process->parent = (int32_t)parent;
	process->started = started;
	return true;
}

static bool read_uid(int proc_fd, struct running *process)
{
	char text[4096];
	const char *at;

	if (!read_file(proc_fd, process->pid, "status", text, sizeof(text)) || !(at = strstr(text, "\nUid:")))
		return false;
	process->uid = (uint32_t)strtoul(at + strlen("\nUid:"), NULL, 10);
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

	if (!read_stat(proc_fd, &now) || now.started != process->started)
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
		if (!isdigit((unsigned char)entry->d_name[0]) || !read_stat(proc_fd, &process) ||
		    !read_uid(proc_fd, &process))
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
