// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process: what it takes at its start, and its loop. It opens no path, reads no content, writes no file, and waits
 * for nobody but the kernel's next question. A timer of its own ends it where it stands still, SIGSTOP included: then
 * the keeper, or at last the kernel, lets go whoever waits.
 */
#include "gate.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "gate_state.h"
#include "rights.h"

#define STANDSTILL_MS 1500
#define RENEW_NS 100000000ull
#define BEAT_NS 200000000ull
#define REFRESH_NS 200000000ull
#define TURN_MS 100

static timer_t standstill;

void gate_log(const char *format, ...)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_LOG};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(frame.text, sizeof(frame.text), format, arguments);
	va_end(arguments);
	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
}

static void tell_keeper(enum leash_kind kind, uint64_t value)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value};

	frame_send(FD_LEASH, &frame, sizeof(frame), -1);
}

/* The kernel ends us STANDSTILL_MS after this was last called. It is not needed in each of a hundred thousand turns a
 * second: within RENEW_NS of the last time nothing is done. */
static void renew_standstill(uint64_t now)
{
	static uint64_t renewed;

	struct itimerspec at = {
		.it_value = {.tv_sec = STANDSTILL_MS / 1000, .tv_nsec = STANDSTILL_MS % 1000 * 1000000l}};

	if (renewed && now - renewed < RENEW_NS)
		return;
	renewed = now;
	timer_settime(standstill, 0, &at, NULL);
}

static void *map_fd(int fd, size_t size, int protection)
{
	void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void take_policy(struct gate *gate, uint64_t number, int fd)
{
	const struct policy *policy = fd < 0 ? NULL : map_fd(fd, sizeof(struct policy), PROT_READ);

	if (fd >= 0)
		close(fd);
	if (!policy || !policy_is_sound(policy)) {
		gate_log("the keeper sent a policy that is none");
		if (policy)
			munmap((void *)policy, sizeof(*policy));
		return;
	}
	gate->staged_number = number;
	coverage_stage(gate, policy);
}

static void take_peer(struct gate *gate, uint64_t which, int fd)
{
	if (fd < 0)
		return;
	if (which == PEER_LOADER) {
		workers_loader(gate->workers, fd);
		return;
	}
	if (which == PEER_STEWARD) {
		asking_peer(gate, fd);
		return;
	}
	loop_remove(&gate->loop, &gate->on_recorder);
	if (gate->recorder >= 0)
		close(gate->recorder);
	gate->recorder = fd;
	loop_add(&gate->loop, &gate->on_recorder, fd, EPOLLIN);
}

static void hear_keeper_frame(struct gate *gate, struct leash_frame *frame, int fd)
{
	frame->text[sizeof(frame->text) - 1] = 0;
	switch (frame->kind) {
	case LEASH_POLICY:
		take_policy(gate, frame->value, fd);
		return;
	case LEASH_ROOT:
		if (fd >= 0)
			coverage_root(gate, fd, (uint32_t)frame->value, frame->device);
		return;
	case LEASH_PROGRAM:
		if (fd >= 0)
			coverage_program(gate, fd, (uint32_t)frame->value, frame->device);
		return;
	case LEASH_ALLOWED:
		allowing_take(gate, fd);
		return;
	case LEASH_LASTING:
		if (fd >= 0)
			coverage_lasting(gate, fd);
		return;
	case LEASH_WATCH_WITHOUT:
		coverage_without(gate, (uint32_t)frame->value, frame->text);
		break;
	case LEASH_POLICY_END:
		coverage_commit(gate);
		if (!gate->policy)
			break;
		workers_are(gate->workers, FD_PROC, gate->policy->scanner.worker_uid);
		tell_keeper(LEASH_IN_FORCE, gate->staged_number);
		break;
	case LEASH_PEER:
		take_peer(gate, frame->value, fd);
		return;
	case LEASH_STOP:
		gate->stopping = true;
		break;
	default: /* other frames are for others */
		break;
	}
	if (fd >= 0)
		close(fd);
}

static void hear_keeper(void *owner, uint32_t events)
{
	struct gate *gate = owner;
	struct leash_frame frame;
	int fd, result;

	(void)events;
	while ((result = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd)) == 0)
		hear_keeper_frame(gate, &frame, fd);
	if (result == -EPIPE || result == -ECONNRESET)
		gate->stopping = true; /* the keeper is gone, and we go with it */
}

/* Only noted: what the other groups had to say in the same turn comes first. Whoever opens a file after it was moved or
 * written finds that news in the queue before his question, so a turn that shows none has none. */
static void hear_permission(void *owner, uint32_t events)
{
	struct gate *gate = owner;

	(void)events;
	gate->asked = true;
}

static void hear_fresh(void *owner, uint32_t events)
{
	(void)events;
	door_fresh(owner);
}

static void hear_moves(void *owner, uint32_t events)
{
	(void)events;
	door_news(owner);
}

static void hear_refusals(void *owner, uint32_t events)
{
	(void)events;
	telling_refusals(owner);
}

static void hear_recorder(void *owner, uint32_t events)
{
	(void)events;
	explaining_answer(owner);
}

static void hear_steward(void *owner, uint32_t events)
{
	(void)events;
	asking_hear(owner);
}

static int take_memory(struct gate *gate)
{
	struct status_page *page = map_fd(FD_STATUS_PAGE, sizeof(*page), PROT_READ | PROT_WRITE);

	gate->notes = map_fd(FD_GATE_NOTES, sizeof(*gate->notes), PROT_READ | PROT_WRITE);
	gate->ring = map_fd(FD_RECORD_RING, sizeof(*gate->ring), PROT_READ | PROT_WRITE);
	if (!page || !gate->notes || !gate->ring)
		return -errno;
	gate->status = &page->gate;
	/* What was our predecessor's and is over; its counters go on. */
	gate->status->waiting = gate->status->cases = gate->status->marks_stand = gate->status->allowed_number = 0;
	gate->status->turn &= ~(uint64_t)1;
	gate->recorder = gate->on_recorder.fd = -1;
	gate->steward = gate->on_steward.fd = -1;
	gate->epoch = 1;
	gate->run = now_ns();
	gate->definitions = kernel_memory_definitions_kept(gate->kernel);
	gate->scope.proc_fd = gate->staged_scope.proc_fd = FD_PROC;
	for (uint16_t i = 0; i < PENDING_MAX; i++)
		gate->pending_free[gate->pending_free_count++] = i;
	for (uint16_t i = 0; i < OPENERS_MAX; i++)
		gate->opener_free[gate->opener_free_count++] = i;
	return 0;
}

/* Descriptors that are not events: ours, and in a large table the roots twice and the workers. */
static uint32_t others(uint32_t nofile)
{
	uint32_t share = nofile / 16;

	return share < 56 ? 56 : share > 640 ? 640 : share;
}

/* Files that may wait for their mark of origin: whoever extracts a large archive closes many at once. */
static uint32_t origin_places(const struct gate *gate, uint32_t nofile)
{
	uint32_t share = nofile / 64;

	if (!gate->kernel)
		return 0;
	return share < 8 ? 8 : share > 1024 ? 1024 : share;
}

static int take_groups(struct gate *gate)
{
	uint32_t nofile = gate->notes->nofile, places = origin_places(gate, nofile);
	int result, bell = -1;

	result = accesses_open(&gate->accesses, FD_PERMISSION_GROUP, FD_PROC, gate->notes, nofile,
			       others(nofile) + places);
	if (result == 0)
		result = fresh_open(&gate->fresh, FD_CLOSED_GROUP, nofile / 32, &bell);
	if (result == 0)
		result = moves_open(&gate->moves, FD_MOVES_GROUP);
	if (result == 0 && gate->kernel)
		result = origins_open(&gate->origins, places);
	if (result < 0)
		return result;
	gate->on_permission = (struct loop_handler){.ready = hear_permission, .owner = gate, .fd = -1};
	gate->on_fresh = (struct loop_handler){.ready = hear_fresh, .owner = gate, .fd = -1};
	gate->on_moves = (struct loop_handler){.ready = hear_moves, .owner = gate, .fd = -1};
	gate->on_leash = (struct loop_handler){.ready = hear_keeper, .owner = gate, .fd = -1};
	gate->on_refusals = (struct loop_handler){.ready = hear_refusals, .owner = gate, .fd = -1};
	gate->on_recorder = (struct loop_handler){.ready = hear_recorder, .owner = gate, .fd = -1};
	gate->on_steward = (struct loop_handler){.ready = hear_steward, .owner = gate, .fd = -1};
	result = loop_add(&gate->loop, &gate->on_leash, FD_LEASH, EPOLLIN);
	if (result == 0)
		result = loop_add(&gate->loop, &gate->on_moves, FD_MOVES_GROUP, EPOLLIN);
	if (result == 0)
		result = loop_add(&gate->loop, &gate->on_fresh, bell, EPOLLIN);
	return result;
}

static int take_pools(struct gate *gate)
{
	int result = workers_open(&gate->workers, &gate->loop);

	if (result == 0)
		result = cases_open(&gate->cases);
	if (result == 0)
		result = memory_open(&gate->memory, FD_VERDICTS);
	if (result == 0)
		result = contents_open(&gate->contents);
	return result;
}

static int start_standstill(void)
{
	struct sigevent kill_us = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};

	signal(SIGIO, SIG_IGN); /* lease breaks */
	signal(SIGPIPE, SIG_IGN);
	if (timer_create(CLOCK_MONOTONIC, &kill_us, &standstill) < 0)
		return -errno;
	renew_standstill(now_ns());
	return 0;
}

static int gate_start(struct gate *gate)
{
	/* First: whatever is opened before might get one of the numbers that are looked at. */
	int result = kernel_memory_open(&gate->kernel);

	if (result == 0)
		result = loop_open(&gate->loop);
	if (result == 0)
		result = take_memory(gate);
	if (result == 0)
		result = take_pools(gate);
	if (result == 0) /* after the pools, which it locks; before any thread: they inherit what is left */
		result = rights_gate();
	if (result == 0)
		result = take_groups(gate);
	if (result == 0)
		result = start_standstill();
	return result;
}

static int turn_ms(struct gate *gate)
{
	uint64_t due = cases_due(gate->cases), answers = accesses_due(gate->accesses), now = now_ns();

	if (answers < due)
		due = answers;
	if (due <= now)
		return 0;
	return due - now < TURN_MS * 1000000ull ? (int)((due - now) / 1000000 + 1) : TURN_MS;
}

/* The keeper ends it, and starts one that we can talk to. */
void gate_loader_lied(void)
{
	tell_keeper(LEASH_PEER, PEER_LOADER);
}

void gate_alive(struct gate *gate, uint64_t now)
{
	renew_standstill(now);
	__atomic_store_n(&gate->status->loop_ns, now, __ATOMIC_RELAXED);
	kernel_memory_beat(gate->kernel, now);
	if (now - gate->beat_ns < BEAT_NS)
		return;
	gate->beat_ns = now;
	tell_keeper(LEASH_BEAT, 0);
}

/* Folders that were moved away, or under which another was put, are noticed by their names. */
static void refresh(struct gate *gate, uint64_t now)
{
	if (now - gate->refresh_ns < REFRESH_NS)
		return;
	gate->refresh_ns = now;
	coverage_refresh(gate, FD_LEASH);
}

/* Accesses are taken only when there is a policy to judge them by: a successor finds them waiting in the queue. The
 * same holds for what the kernel side has refused meanwhile. */
static void listen_at_door(struct gate *gate)
{
	int bell = kernel_memory_bell(gate->kernel);

	if (gate->policy && gate->on_permission.fd < 0)
		loop_add(&gate->loop, &gate->on_permission, FD_PERMISSION_GROUP, EPOLLIN);
	if (gate->policy && bell >= 0 && gate->on_refusals.fd < 0)
		loop_add(&gate->loop, &gate->on_refusals, bell, EPOLLIN);
}

int gate_run(void)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int result = gate ? gate_start(gate) : -ENOMEM;

	if (result < 0) {
		gate_log("the gate cannot start: %s", strerrordesc_np(-result));
		free(gate);
		return 1;
	}
	tell_keeper(LEASH_READY, 0);
	while (!gate->stopping) {
		loop_turn(&gate->loop, turn_ms(gate));
		allowing_turn(gate);
		if (gate->asked)
			door_open(gate);
		judging_replies(gate);
		judging_turn(gate);
		listen_at_door(gate);
		uint64_t now = now_ns();
		accesses_give(gate->accesses, now);
		gate_alive(gate, now);
		refresh(gate, now);
	}
	door_stop(gate);
	_exit(0);
}
