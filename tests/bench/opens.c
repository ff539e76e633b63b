// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reader of the bench. Prints nanoseconds of CLOCK_MONOTONIC, one number a line; exit 1 where an open failed.
 *
 *   opens repeat COUNT PATH   COUNT times open and close: one number, per open
 *   opens each [read]         the paths on standard input, once each: one number a path. read: all bytes, too
 *   opens readers N [read]    the same by N processes that share the list: one number, for all of them together
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATHS_MAX 20000
static char *paths[PATHS_MAX];
static size_t path_count;
static char buffer[65536];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_once(const char *path, int all_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		return -1;
	}
	while (all_bytes && read(fd, buffer, sizeof(buffer)) > 0)
		;
	close(fd);
	return 0;
}

static void read_paths(void)
{
	static char line[4096];

	while (path_count < PATHS_MAX && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		paths[path_count++] = strdup(line);
	}
}

static int run_repeat(long count, const char *path)
{
	uint64_t start = now();

	for (long i = 0; i < count; i++) {
		if (open_once(path, 0) < 0)
			return 1;
	}
	printf("%.1f\n", (double)(now() - start) / (double)count);
	return 0;
}

static int run_each(int all_bytes)
{
	int result = 0;

	for (size_t i = 0; i < path_count; i++) {
		uint64_t start = now();

		result |= open_once(paths[i], all_bytes);
		printf("%llu\n", (unsigned long long)(now() - start));
	}
	return result ? 1 : 0;
}

static int run_readers(int readers, int all_bytes)
{
	size_t *next = mmap(NULL, sizeof(*next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t start = now();
	int result = 0, status;

	for (int i = 0; i < readers; i++) {
		if (fork() == 0) {
			size_t mine;

			while ((mine = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < path_count) {
				if (open_once(paths[mine], all_bytes) < 0)
					_exit(1);
			}
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		result |= status != 0;
	printf("%llu\n", (unsigned long long)(now() - start));
	return result;
}

int main(int argc, char **argv)
{
	int all_bytes = argc > 2 && !strcmp(argv[argc - 1], "read");

	if (argc == 4 && !strcmp(argv[1], "repeat"))
		return run_repeat(atol(argv[2]), argv[3]);
	if (argc >= 2 && !strcmp(argv[1], "each")) {
		read_paths();
		return run_each(all_bytes);
	}
	if (argc >= 3 && !strcmp(argv[1], "readers")) {
		read_paths();
		return run_readers(atoi(argv[2]), all_bytes);
	}
	fprintf(stderr, "usage: opens repeat COUNT PATH | each [read] | readers N [read]\n");
	return 2;
}
