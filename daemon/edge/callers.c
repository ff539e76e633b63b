// SPDX-License-Identifier: GPL-2.0-only
#include "callers.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define TAKEN_A_TURN 16

static void caller_close(struct caller *caller)
{
	int fd = caller->handler.fd;

	loop_remove(caller->callers->loop, &caller->handler);
	if (fd >= 0)
		close(fd);
	if (caller->callers->full) {
		caller->callers->full = false;
		loop_change(caller->callers->loop, &caller->callers->listener, EPOLLIN);
	}
}

/* Never tried again: what the socket doesn't take now, its owner doesn't read. */
static void send_status(struct caller *caller)
{
	struct keeper_reply reply = {.version = WIRE_VERSION, .verb = KEEPER_STATUS};

	frame_send(caller->handler.fd, &reply, sizeof(reply), caller->callers->status_page);
	caller_close(caller);
}

static void caller_ready(void *owner, uint32_t events)
{
	struct caller *caller = owner;
	struct keeper_request request;
	int fd, error;

	(void)events;
	error = frame_receive(caller->handler.fd, &request, sizeof(request), &fd);
	if (error == -EAGAIN)
		return;
	if (!error && fd >= 0)
		close(fd);
	if (error || request.version != WIRE_VERSION || caller->until_ns == 0) {
		caller_close(caller);
		return;
	}
	if (request.verb == KEEPER_STATUS) {
		send_status(caller);
	} else if (request.verb == KEEPER_RELOAD || request.verb == KEEPER_SELFTEST) {
		struct callers *callers = caller->callers;
		bool reload = request.verb == KEEPER_RELOAD;
		caller->round = reload ? callers->reload(callers->owner) : callers->selftest(callers->owner);
		caller->verb = request.verb;
		caller->until_ns = 0;
	} else {
		caller_close(caller);
	}
}

static struct caller *caller_free(struct callers *callers)
{
	for (int i = 0; i < callers->most; i++)
		if (callers->all[i].handler.fd < 0)
			return &callers->all[i];
	return NULL;
}

/* false: nobody else is to be taken now. */
static bool take_one(struct callers *callers)
{
	struct caller *caller = caller_free(callers);
	int fd = caller ? accept4(callers->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	if (fd < 0) {
		/* No place, or no descriptor: heard again when one has left, or at the next tick. */
		if (!caller || (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)) {
			callers->full = true;
			loop_change(callers->loop, &callers->listener, 0);
		}
		return false;
	}
	caller->until_ns = now_ns() + CALLER_TIME_NS;
	if (loop_add(callers->loop, &caller->handler, fd, EPOLLIN) < 0)
		close(fd);
	return true;
}

static void listener_ready(void *owner, uint32_t events)
{
	(void)events;
	for (int i = 0; i < TAKEN_A_TURN && take_one(owner); i++)
		;
}

int callers_open(struct callers *callers, struct loop *loop, int listener)
{
	callers->loop = loop;
	callers->full = false;
	for (int i = 0; i < CALLERS_MAX; i++) {
		struct caller *caller = &callers->all[i];
		*caller = (struct caller){.callers = callers};
		caller->handler = (struct loop_handler){.ready = caller_ready, .owner = caller, .fd = -1};
	}
	callers->listener = (struct loop_handler){.ready = listener_ready, .owner = callers, .fd = -1};
	return loop_add(loop, &callers->listener, listener, EPOLLIN);
}

void callers_tick(struct callers *callers, uint64_t now)
{
	for (int i = 0; i < callers->most; i++) {
		struct caller *caller = &callers->all[i];
		if (caller->handler.fd >= 0 && caller->until_ns && caller->until_ns < now)
			caller_close(caller);
	}
	if (callers->full && caller_free(callers)) {
		callers->full = false;
		loop_change(callers->loop, &callers->listener, EPOLLIN);
	}
}

void callers_answer(struct callers *callers, uint64_t round, const struct keeper_reply *replies, int count)
{
	for (int i = 0; i < callers->most; i++) {
		struct caller *caller = &callers->all[i];
		if (caller->handler.fd < 0 || caller->until_ns || caller->verb != replies[0].verb ||
		    caller->round > round)
			continue;
		for (int j = 0; j < count; j++)
			frame_send(caller->handler.fd, &replies[j], sizeof(replies[j]), -1);
		caller_close(caller);
	}
}
