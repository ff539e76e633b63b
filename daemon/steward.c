// SPDX-License-Identifier: GPL-2.0-only
/* The process: what it takes at its start, its loop, and whom it hears. What it does with files is in its rooms. */
#include "steward_process.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "rights.h"
#include "steward_state.h"

#define BEAT_NS 250000000u
#define TURN_MS 100
#define FRAMES_A_TURN 16

static void tell_keeper(struct leash_frame *frame)
{
	frame->version = WIRE_VERSION;
	frame_send(FD_LEASH, frame, sizeof(*frame), -1);
}

void steward_log(const char *format, ...)
{
	struct leash_frame frame = {.kind = LEASH_LOG};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(frame.text, sizeof(frame.text), format, arguments);
	va_end(arguments);
	tell_keeper(&frame);
}

void steward_issue(enum steward_issue issue, const char *format, ...)
{
	struct leash_frame frame = {.kind = LEASH_ISSUE, .value = issue};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(frame.text, sizeof(frame.text), format, arguments);
	va_end(arguments);
	tell_keeper(&frame);
}

int steward_give_keeper(enum leash_kind kind, int fd)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind};

	return frame_send(FD_LEASH, &frame, sizeof(frame), fd);
}

void steward_alive(struct steward *steward)
{
	struct leash_frame frame = {.kind = LEASH_BEAT};
	uint64_t now = now_ns();

	if (now - steward->beat_ns < BEAT_NS)
		return;
	steward->beat_ns = now;
	tell_keeper(&frame);
}

/* ---- the policy ---- */

static void roots_close(struct steward_root *roots, uint32_t *count)
{
	while (*count > 0)
		close(roots[--*count].fd);
}

static void staged_clear(struct steward *steward)
{
	roots_close(steward->staged_roots, &steward->staged_root_count);
	if (steward->staged_policy)
		munmap((void *)steward->staged_policy, sizeof(struct policy));
	steward->staged_policy = NULL;
}

static void stage_policy(struct steward *steward, int fd)
{
	void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct policy), PROT_READ, MAP_SHARED, fd, 0);

	staged_clear(steward);
	if (fd >= 0)
		close(fd);
	if (memory == MAP_FAILED || !policy_is_sound(memory)) {
		steward_log("the keeper sent a policy that is none");
		if (memory != MAP_FAILED)
			munmap(memory, sizeof(struct policy));
		return;
	}
	steward->staged_policy = memory;
}

static void stage_root(struct steward *steward, int fd, uint64_t watch)
{
	if (fd < 0)
		return;
	if (!steward->staged_policy || watch >= steward->staged_policy->watch_count ||
	    steward->staged_root_count == ROOTS_MAX) {
		close(fd);
		return;
	}
	steward->staged_roots[steward->staged_root_count++] = (struct steward_root){.fd = fd, .watch = (uint32_t)watch};
}

static void policy_commit(struct steward *steward)
{
	if (!steward->staged_policy)
		return;
	roots_close(steward->roots, &steward->root_count);
	if (steward->policy)
		munmap((void *)steward->policy, sizeof(struct policy));
	steward->policy = steward->staged_policy;
	steward->staged_policy = NULL;
	memcpy(steward->roots, steward->staged_roots, sizeof(steward->roots));
	steward->root_count = steward->staged_root_count;
	steward->staged_root_count = 0;
	quarantine_policy(steward);
	recheck_policy(steward);
}

/* ---- the gate ---- */

int steward_tell_gate(struct steward *steward, const struct steward_reply *reply, int fd)
{
	if (steward->gate.fd < 0)
		return -ENOTCONN;
	return frame_send(steward->gate.fd, reply, sizeof(*reply), fd);
}

static void gate_gone(struct steward *steward)
{
	int fd = steward->gate.fd;

	if (fd < 0)
		return;
	loop_remove(&steward->loop, &steward->gate);
	close(fd);
}

static bool request_is_sound(struct steward_request *request, int fd)
{
	if (request->version != WIRE_VERSION || request->kind < STEWARD_QUARANTINE ||
	    request->kind >= STEWARD_REQUESTS || request->verdict.kind >= VERDICT_KINDS ||
	    request->verdict.reason >= REASONS || request->generation.handle_size > HANDLE_SIZE ||
	    request->which >= POLICY_CASES || request->delivery >= DELIVERIES)
		return false;
	if (request->kind != STEWARD_FINDING && fd < 0)
		return false;
	request->verdict.signature[sizeof(request->verdict.signature) - 1] = 0;
	request->policy[sizeof(request->policy) - 1] = request->detail[sizeof(request->detail) - 1] = 0;
	request->queue_id[sizeof(request->queue_id) - 1] = request->message_id[sizeof(request->message_id) - 1] = 0;
	return true;
}

static void take_request(struct steward *steward, const struct steward_request *request, int fd)
{
	switch ((enum steward_request_kind)request->kind) {
	case STEWARD_QUARANTINE:
	case STEWARD_ANOTHER_NAME:
		quarantine_take(steward, request, fd);
		return;
	case STEWARD_FOUND:
		notify_found(steward, request, fd);
		return;
	case STEWARD_EMPTY:
	case STEWARD_COPY:
		stores_empty(steward, request, fd);
		return;
	case STEWARD_FINDING:
		if (request->case_id & STEWARD_RECHECK_ID)
			recheck_finding(steward, request);
		else
			sweeps_finding(steward, request);
		return;
	case STEWARD_REQUESTS:
		break;
	}
}

static void gate_ready(void *owner, uint32_t events)
{
	static struct steward_request request;
	struct steward *steward = owner;

	(void)events;
	for (int i = 0; i < FRAMES_A_TURN && steward->gate.fd >= 0; i++) {
		int fd = -1, error = frame_receive(steward->gate.fd, &request, sizeof(request), &fd);
		if (error == -EAGAIN)
			return;
		if (error < 0) {
			gate_gone(steward);
			return;
		}
		if (request_is_sound(&request, fd))
			take_request(steward, &request, fd);
		if (fd >= 0)
			close(fd);
		steward_alive(steward);
	}
}

static void take_gate(struct steward *steward, uint64_t which, int fd)
{
	if (fd < 0)
		return;
	if (which != PEER_GATE) {
		close(fd);
		return;
	}
	gate_gone(steward);
	if (loop_add(&steward->loop, &steward->gate, fd, EPOLLIN) < 0) {
		close(fd);
		return;
	}
	quarantine_gate(steward);
	recheck_gate(steward);
	sweeps_gate(steward);
}

/* ---- the keeper ---- */

static void hear_keeper(struct steward *steward, const struct leash_frame *frame, int fd)
{
	switch (frame->kind) {
	case LEASH_POLICY:
		stage_policy(steward, fd);
		return;
	case LEASH_ROOT:
		stage_root(steward, fd, frame->value);
		return;
	case LEASH_POLICY_END:
		policy_commit(steward);
		break;
	case LEASH_PEER:
		take_gate(steward, frame->value, fd);
		return;
	case LEASH_STOP:
		steward->stopping = true;
		break;
	default: /* other frames are for others */
		break;
	}
	if (fd >= 0)
		close(fd);
}

static void leash_ready(void *owner, uint32_t events)
{
	static struct leash_frame frame;
	struct steward *steward = owner;
	int fd, error;

	(void)events;
	while (fd = -1, (error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd)) == 0) {
		if (frame.version == WIRE_VERSION)
			hear_keeper(steward, &frame, fd);
		else if (fd >= 0)
			close(fd);
	}
	if (error != -EAGAIN && error != -EBADMSG)
		steward->stopping = true;
}

/* ---- start ---- */

static int steward_open(struct steward *steward)
{
	struct {
		struct loop_handler *handler;
		void (*ready)(void *, uint32_t);
	} handlers[] = {{&steward->leash, leash_ready}, {&steward->gate, gate_ready}};
	void *page = mmap(NULL, sizeof(struct status_page), PROT_READ, MAP_SHARED, FD_STATUS_PAGE, 0);
	int error;

	if (page == MAP_FAILED)
		return -errno;
	steward->page = page;
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		*handlers[i].handler = (struct loop_handler){.ready = handlers[i].ready, .owner = steward, .fd = -1};
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	notify_start();
	error = rights_steward();
	if (!error)
		error = loop_open(&steward->loop);
	if (!error)
		error = loop_add(&steward->loop, &steward->leash, FD_LEASH, EPOLLIN);
	if (!error)
		error = steward_clients_open(steward, FD_LISTENER);
	if (!error)
		error = quarantine_open(steward);
	if (!error)
		error = allow_open(steward);
	if (!error)
		notify_open(steward);
	if (!error)
		error = recheck_open(steward);
	if (!error)
		error = sweeps_open(steward);
	verdicts_open(steward);
	return error;
}

int steward_run(void)
{
	struct steward *steward = calloc(1, sizeof(*steward));
	int error = steward ? steward_open(steward) : -ENOMEM;
	struct leash_frame ready = {.kind = LEASH_READY};
	bool more = false;

	if (error) {
		steward_log("cannot start: %s%s%s", strerror(-error), rights_why()[0] ? ": " : "", rights_why());
		free(steward);
		return 1;
	}
	tell_keeper(&ready);
	while (!steward->stopping) {
		loop_turn(&steward->loop, more ? 0 : TURN_MS);
		steward_alive(steward);
		more = quarantine_turn(steward, now_ns());
		quarantine_tell_held(steward, now_ns());
		more |= recheck_turn(steward, now_ns());
		verdicts_turn(now_ns());
		more |= sweeps_turn(steward, now_ns());
		allow_turn(steward);
		notify_turn(steward, now_ns());
		more |= steward_clients_turn(steward);
	}
	sweeps_end(steward);
	verdicts_end(now_ns());
	notify_end(steward, now_ns());
	return 0;
}
