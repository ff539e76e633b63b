/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An epoll(7) loop without allocation. Handlers are the caller's memory, and stay where they are while registered.
 */
#ifndef MAILWARD_LOOP_H
#define MAILWARD_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop_handler {
	void (*ready)(void *owner, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, ... */
	void *owner;
	int fd; /* borrowed; -1 while not registered */
};

#define LOOP_BATCH 64
struct loop {
	int epoll_fd;
	int ready_count, ready_next;
	struct epoll_event ready[LOOP_BATCH];
	bool stopping;
};

int loop_open(struct loop *loop); /* 0 or -errno */
void loop_close(struct loop *loop);

/* Registers fd with handler->ready and handler->owner as set by the caller. 0 or -errno. */
int loop_add(struct loop *loop, struct loop_handler *handler, int fd, uint32_t events);
void loop_change(struct loop *loop, struct loop_handler *handler, uint32_t events);
/* Also forgets what is pending for it in the batch being handled, so it may be called from any handler. Does not close
 * the descriptor; call it before close(). Harmless where handler->fd is -1. */
void loop_remove(struct loop *loop, struct loop_handler *handler);

/* Waits at most timeout_ms (-1: for ever), calls the handlers that are ready. Returns how many. */
int loop_turn(struct loop *loop, int timeout_ms);

uint64_t now_ns(void);  /* CLOCK_MONOTONIC */
uint64_t wall_ns(void); /* CLOCK_REALTIME */

#endif
