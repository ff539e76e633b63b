// SPDX-License-Identifier: GPL-2.0-only
#include "origins.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/xattr.h>
#include <unistd.h>

struct origins {
	int bell;
	uint64_t failed;
	uint64_t put;   /* the loop's */
	uint64_t taken; /* the thread's */
	pthread_t writer;
	unsigned places;
	int files[];
};

enum origin_said origins_read(int fd)
{
	char value[8];

	if (fgetxattr(fd, ORIGIN_XATTR, value, sizeof(value)) >= 0 || errno == ERANGE)
		return ORIGIN_SAID_MAIL;
	if (errno == ENODATA)
		return ORIGIN_SAID_NOTHING;
	return errno == EOPNOTSUPP ? ORIGIN_SAID_NEVER : ORIGIN_SAID_ERROR;
}

void origins_missed(struct origins *origins)
{
	__atomic_fetch_add(&origins->failed, 1, __ATOMIC_RELAXED);
}

static void *write_all(void *argument)
{
	struct origins *origins = argument;
	uint64_t rung;

	for (;;) {
		if (read(origins->bell, &rung, sizeof(rung)) < 0 && errno != EINTR)
			return NULL;
		while (origins->taken != __atomic_load_n(&origins->put, __ATOMIC_ACQUIRE)) {
			int fd = origins->files[origins->taken % origins->places];
			if (origins_read(fd) != ORIGIN_SAID_MAIL && fsetxattr(fd, ORIGIN_XATTR, "mail", 4, 0) < 0)
				origins_missed(origins);
			close(fd);
			__atomic_store_n(&origins->taken, origins->taken + 1, __ATOMIC_RELEASE);
		}
	}
}

int origins_open(struct origins **origins_out, unsigned places)
{
	struct origins *origins = calloc(1, sizeof(*origins) + places * sizeof(origins->files[0]));
	int result;

	if (!origins)
		return -ENOMEM;
	origins->places = places;
	origins->bell = eventfd(0, EFD_CLOEXEC);
	result = origins->bell < 0 ? -errno : -pthread_create(&origins->writer, NULL, write_all, origins);
	if (result < 0) {
		if (origins->bell >= 0)
			close(origins->bell);
		free(origins);
		return result;
	}
	*origins_out = origins;
	return 0;
}

bool origins_write(struct origins *origins, int fd)
{
	bool room = origins->put - __atomic_load_n(&origins->taken, __ATOMIC_ACQUIRE) < origins->places;
	int copy = room ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	uint64_t one = 1;

	if (copy < 0)
		return false;
	origins->files[origins->put % origins->places] = copy;
	__atomic_store_n(&origins->put, origins->put + 1, __ATOMIC_RELEASE);
	if (write(origins->bell, &one, sizeof(one)) < 0)
		return true; /* rung for already */
	return true;
}

uint64_t origins_failed(const struct origins *origins)
{
	return __atomic_load_n(&origins->failed, __ATOMIC_RELAXED);
}
