// SPDX-License-Identifier: GPL-2.0-only
#include "fresh.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <unistd.h>

#define PLACES 64u /* a power of two */
#define BATCH 16u
#define FULL_MS 2 /* until the next look whether some were taken; the others wait in the kernel, not as descriptors */

struct fresh_file {
	int fd;
	int32_t pid;
};

struct fresh {
	int group_fd;
	int bell;
	uint32_t held; /* at once; few, as each is a descriptor */
	uint64_t missed;
	uint64_t put;   /* the thread's */
	uint64_t taken; /* the loop's */
	struct fresh_file files[PLACES];
	pthread_t reader;
};

static void count_missed(struct fresh *fresh)
{
	__atomic_fetch_add(&fresh->missed, 1, __ATOMIC_RELAXED);
}

static void hand_on(struct fresh *fresh, const struct fanotify_event_metadata *event)
{
	uint64_t one = 1;

	if (event->mask & FAN_Q_OVERFLOW || event->fd < 0) {
		count_missed(fresh);
		return;
	}
	fresh->files[fresh->put % PLACES] = (struct fresh_file){.fd = event->fd, .pid = event->pid};
	__atomic_store_n(&fresh->put, fresh->put + 1, __ATOMIC_RELEASE);
	if (write(fresh->bell, &one, sizeof(one)) < 0)
		return; /* rung for already */
}

static void *read_all(void *argument)
{
	struct fresh *fresh = argument;
	struct fanotify_event_metadata events[BATCH];
	struct pollfd group = {.fd = fresh->group_fd, .events = POLLIN};

	for (;;) {
		size_t room = fresh->held - (size_t)(fresh->put - __atomic_load_n(&fresh->taken, __ATOMIC_ACQUIRE));
		ssize_t size;
		if (room == 0) {
			poll(NULL, 0, FULL_MS);
			continue;
		}
		size = read(fresh->group_fd, events, (room < BATCH ? room : BATCH) * sizeof(events[0]));
		if (size < 0 && errno != EAGAIN && errno != EINTR) {
			/* No descriptor for it, or a file under a lease: the event is gone. */
			count_missed(fresh);
			poll(NULL, 0, 10);
		}
		if (size <= 0) {
			poll(&group, 1, -1);
			continue;
		}
		for (size_t i = 0; i < (size_t)size / sizeof(events[0]); i++)
			hand_on(fresh, &events[i]);
	}
	return NULL;
}

int fresh_open(struct fresh **fresh_out, int group_fd, uint32_t held, int *bell_out)
{
	struct fresh *fresh = calloc(1, sizeof(*fresh));
	int result;

	if (!fresh)
		return -ENOMEM;
	fresh->group_fd = group_fd;
	fresh->held = held < PLACES ? held : PLACES;
	fresh->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	result = fresh->bell < 0 ? -errno : -pthread_create(&fresh->reader, NULL, read_all, fresh);
	if (result < 0) {
		if (fresh->bell >= 0)
			close(fresh->bell);
		free(fresh);
		return result;
	}
	*fresh_out = fresh;
	*bell_out = fresh->bell;
	return 0;
}

int fresh_next(struct fresh *fresh, int32_t *pid_out)
{
	struct fresh_file file;
	uint64_t rung;

	if (fresh->taken == __atomic_load_n(&fresh->put, __ATOMIC_ACQUIRE)) {
		/* Silence the bell, then look once more: it may have been rung in between. */
		if (read(fresh->bell, &rung, sizeof(rung)) < 0 ||
		    fresh->taken == __atomic_load_n(&fresh->put, __ATOMIC_ACQUIRE))
			return -1;
	}
	file = fresh->files[fresh->taken % PLACES];
	__atomic_store_n(&fresh->taken, fresh->taken + 1, __ATOMIC_RELEASE);
	*pid_out = file.pid;
	return file.fd;
}

uint64_t fresh_missed(const struct fresh *fresh)
{
	return __atomic_load_n(&fresh->missed, __ATOMIC_RELAXED);
}

int fresh_watch(struct fresh *fresh, int fd)
{
	unsigned flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM;

	return fanotify_mark(fresh->group_fd, flags, FAN_CLOSE_WRITE, fd, NULL) < 0 ? -errno : 0;
}

int fresh_unwatch(struct fresh *fresh, int fd)
{
	unsigned flags = FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM;

	return fanotify_mark(fresh->group_fd, flags, FAN_CLOSE_WRITE, fd, NULL) < 0 ? -errno : 0;
}
