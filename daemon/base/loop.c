// SPDX-License-Identifier: GPL-2.0-only
#include "loop.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

int loop_open(struct loop *loop)
{
	*loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_close(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, struct loop_handler *handler, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = handler};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	handler->fd = fd;
	return 0;
}

void loop_change(struct loop *loop, struct loop_handler *handler, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = handler};

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, handler->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_handler *handler)
{
	if (handler->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, handler->fd, NULL);
	handler->fd = -1;
	for (int i = loop->ready_next; i < loop->ready_count; i++)
		if (loop->ready[i].data.ptr == handler)
			loop->ready[i].data.ptr = NULL;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	int handled = 0;

	loop->ready_count = epoll_wait(loop->epoll_fd, loop->ready, LOOP_BATCH, timeout_ms);
	loop->ready_next = 0;
	while (loop->ready_next < loop->ready_count) {
		struct epoll_event *event = &loop->ready[loop->ready_next++];
		struct loop_handler *handler = event->data.ptr;
		if (!handler)
			continue;
		handler->ready(handler->owner, event->events);
		handled++;
	}
	loop->ready_count = 0;
	return handled;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}
