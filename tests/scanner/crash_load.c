// SPDX-License-Identifier: GPL-2.0-only
/*
 * LD_PRELOAD for the scanner under test: libclamav crashes while it loads a folder with a file crash.* (a write to
 * nowhere), crash-stack.* (a stack without end) or crash-abort.* in it, that file open. In place of a database that
 * does that, of which none is known.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile char *volatile nowhere;

__attribute__((noinline)) static int deeper(int depth)
{
	volatile char page[4096];

	page[depth & 4095] = (char)depth;
	return depth < 0 ? 0 : deeper(depth + 1) + page[depth & 4095];
}

int cl_load(const char *path, void *engine, unsigned int *count, unsigned int options);
int cl_load(const char *path, void *engine, unsigned int *count, unsigned int options)
{
	int (*next)(const char *, void *, unsigned int *, unsigned int) = dlsym(RTLD_NEXT, "cl_load");
	DIR *folder = opendir(path);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "crash", 5) != 0 || strstr(entry->d_name, ".tmp"))
			continue;
		if (openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC) < 0)
			return 1;
		if (!strncmp(entry->d_name, "crash-abort", 11))
			abort();
		if (!strncmp(entry->d_name, "crash-stack", 11))
			exit(deeper(0));
		*nowhere = 1;
	}
	if (folder)
		closedir(folder);
	return next(path, engine, count, options);
}
