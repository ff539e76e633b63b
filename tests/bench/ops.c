// SPDX-License-Identifier: GPL-2.0-only
/*
 * ops OPERATION COUNT PATH      what one operation costs: nanoseconds of CLOCK_MONOTONIC per operation; exit 1: it
 * failed
 *
 *   open    open for reading, and close
 *   read    pread of 4096 bytes at 0 by a descriptor that is open for reading
 *   write   pwrite of 4096 bytes at 0 by a descriptor that is open for writing
 *   none    nothing: what the program itself takes
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char page[4096];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int run(char operation, long count, const char *path, int fd)
{
	for (long i = 0; i < count; i++) {
		if (operation == 'o') {
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				return -1;
			close(fd);
		} else if (operation == 'r' && pread(fd, page, sizeof(page), 0) <= 0) {
			return -1;
		} else if (operation == 'w' && pwrite(fd, page, sizeof(page), 0) != sizeof(page)) {
			return -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t start;
	long count;
	int fd;

	if (argc != 4 || !strchr("orwn", argv[1][0]) || (count = atol(argv[2])) <= 0) {
		fprintf(stderr, "usage: ops open|read|write|none COUNT PATH\n");
		return 2;
	}
	fd = argv[1][0] == 'r' ? open(argv[3], O_RDONLY) : argv[1][0] == 'w' ? open(argv[3], O_WRONLY) : 0;
	if (fd < 0 || run(argv[1][0], count > 100 ? 100 : 1, argv[3], fd) < 0) {
		perror(argv[3]);
		return 1;
	}
	start = now();
	if (run(argv[1][0], count, argv[3], fd) < 0) {
		perror(argv[3]);
		return 1;
	}
	printf("%.1f\n", (double)(now() - start) / (double)count);
	return 0;
}
