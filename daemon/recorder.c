// SPDX-License-Identifier: GPL-2.0-only
/* The recorder's loop, and what it says to keeper and gate. A record goes this way: ring -> struct denials (memory, the
 * truth about new rows) -> struct history (disk); clients are fed from both. */
#include "recorder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "recorder_state.h"
#include "rights.h"
#include "users.h"

#define BEAT_NS 250000000u
#define DRAIN_NS 200000000u
#define TURN_MS 100
#define LAST_LOOK_NS 200000000u /* for the gate to die after the keeper */

/* ---- to the keeper ---- */

static void leash_send(struct leash_frame *frame)
{
	frame->version = WIRE_VERSION;
	frame_send(FD_LEASH, frame, sizeof(*frame), -1); /* a keeper that doesn't read misses a beat or a line */
}

static void say(void *owner, const char *line)
{
	struct leash_frame frame = {.kind = LEASH_LOG};

	(void)owner;
	snprintf(frame.text, sizeof(frame.text), "%s", line);
	leash_send(&frame);
}

static void beat(struct recorder *r, uint64_t now)
{
	struct leash_frame frame = {.kind = LEASH_BEAT};

	if (now - r->beat_ns < BEAT_NS)
		return;
	r->beat_ns = now;
	leash_send(&frame);
}

static void tell_ready(struct recorder *r)
{
	struct leash_frame frame = {.kind = LEASH_BEFORE};
	int64_t start = (int64_t)r->page->keeper.started_ns, now = (int64_t)wall_ns();
	uint64_t lately = history_released(r->history, now - 86400 * 1000000000LL);

	history_hours(r->history, start > 0 && start < now ? start : now, frame.counts);
	frame.value = history_released(r->history, 0);
	frame.watch = lately > UINT32_MAX ? UINT32_MAX : (uint32_t)lately;
	leash_send(&frame);
	frame = (struct leash_frame){.kind = LEASH_READY};
	leash_send(&frame);
}

/* ---- from the keeper and the gate ---- */

/* The keeper has answered accesses for a gate that had ended. */
static void take_note(struct recorder *r, const struct leash_frame *frame)
{
	struct {
		struct record record;
		char watch[sizeof(r->page->gate.watches[0].path)];
	} note = {.record = {.time_ns = (int64_t)wall_ns(),
			     .uid = UINT32_MAX,
			     .watch_index = frame->watch,
			     .phase = PHASE_DOWN,
			     .access = ACCESS_OPEN}};
	size_t size = 0;

	if (frame->value == 0 || (frame->answer != ANSWER_ALLOW && frame->answer != ANSWER_DENY))
		return;
	note.record.answer = (uint8_t)frame->answer;
	if (frame->watch < WATCHES_MAX) {
		memcpy(note.watch, r->page->gate.watches[frame->watch].path, sizeof(note.watch));
		size = strnlen(note.watch, sizeof(note.watch) - 1);
	}
	note.record.sizes[TEXT_WATCH] = (uint16_t)size;
	size += sizeof(note.record);
	records_take(r, &note.record, size, frame->value);
}

static void gate_gone(struct recorder *r)
{
	int fd = r->gate.fd;

	if (fd < 0)
		return;
	loop_remove(&r->loop, &r->gate);
	close(fd);
}

static void gate_ready(void *owner, uint32_t events)
{
	static struct explain_reply reply;
	struct recorder *r = owner;
	int fd = -1, error = frame_receive(r->gate.fd, &reply, sizeof(reply), &fd);

	(void)events;
	if (error == -EAGAIN)
		return;
	if (error < 0) {
		gate_gone(r);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (reply.version != WIRE_VERSION || reply.state >= EXPLAIN_STATES || reply.answer >= ANSWERS)
		return;
	for (int i = 0; i < EXPLAINS_MAX; i++) {
		if (r->explains[i].id == 0 || r->explains[i].id != reply.id)
			continue;
		r->explains[i].reply = reply;
		r->explains[i].answered = true;
	}
}

static void take_peer(struct recorder *r, const struct leash_frame *frame, int fd)
{
	if (frame->value != PEER_GATE || fd < 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	gate_gone(r);
	if (loop_add(&r->loop, &r->gate, fd, EPOLLIN) < 0)
		close(fd);
}

static void leash_ready(void *owner, uint32_t events)
{
	static struct leash_frame frame;
	struct recorder *r = owner;
	int fd = -1, error = frame_receive(FD_LEASH, &frame, sizeof(frame), &fd);

	(void)events;
	if (error == -EAGAIN || error == -EBADMSG)
		return;
	if (error < 0) {
		loop_remove(&r->loop, &r->leash);
		r->orphaned = r->stopping = true;
		return;
	}
	if (frame.version == WIRE_VERSION && frame.kind == LEASH_PEER) {
		take_peer(r, &frame, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (frame.version == WIRE_VERSION && frame.kind == LEASH_NOTE)
		take_note(r, &frame);
	if (frame.version == WIRE_VERSION && frame.kind == LEASH_STOP)
		r->stopping = true;
}

static void signals_ready(void *owner, uint32_t events)
{
	struct recorder *r = owner;

	(void)events;
	r->stopping = true;
}

static void bell_ready(void *owner, uint32_t events)
{
	struct recorder *r = owner;
	uint64_t count;

	(void)events;
	if (read(FD_RECORD_BELL, &count, sizeof(count)) < 0 && errno == EAGAIN)
		return;
	records_drain(r, now_ns());
}

static void names_ready(void *owner, uint32_t events)
{
	struct recorder *r = owner;
	int fd = r->names.fd;

	(void)events;
	if (!users_take(now_ns())) {
		say(NULL, "recorder: the process that looks up the names of users has ended; uids stay without names");
		loop_remove(&r->loop, &r->names);
		close(fd);
	}
	records_name(r);
}

/* ---- start and end ---- */

static void *map_whole(int fd, size_t size, int protection)
{
	struct stat info;
	void *memory;

	if (fstat(fd, &info) < 0 || (size_t)info.st_size < size)
		return NULL;
	memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static int watch_fd(struct recorder *r, struct loop_handler *handler, int fd, void (*ready)(void *, uint32_t))
{
	*handler = (struct loop_handler){.ready = ready, .owner = r, .fd = -1};
	return fd < 0 ? 0 : loop_add(&r->loop, handler, fd, EPOLLIN);
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* NULL, or what could not be had. */
static const char *recorder_open(struct recorder *r)
{
	static const char no_loop[] = "epoll or signalfd";
	struct client_source source = answers_source(r);
	uint64_t last;

	r->page = map_whole(FD_STATUS_PAGE, sizeof(*r->page), PROT_READ);
	r->ring = map_whole(FD_RECORD_RING, sizeof(*r->ring), PROT_READ | PROT_WRITE);
	if (!r->page || !r->ring)
		return "the shared memory";
	r->ring_position = __atomic_load_n(&r->ring->tail, __ATOMIC_RELAXED);
	__atomic_store_n(&r->ring->watchers, 0, __ATOMIC_RELAXED);
	if (loop_open(&r->loop) < 0 || watch_fd(r, &r->leash, FD_LEASH, leash_ready) < 0 ||
	    watch_fd(r, &r->bell, FD_RECORD_BELL, bell_ready) < 0 || watch_fd(r, &r->gate, -1, gate_ready) < 0 ||
	    watch_fd(r, &r->signals, signals_open(), signals_ready) < 0)
		return no_loop;
	watch_fd(r, &r->names, users_start(), names_ready);
	if (rights_recorder() < 0)
		return "its rights";
	/* where its folder can't be entered, it can't write in / either, and the history stays in memory */
	if (fchdir(FD_STATE_DIR) < 0 && chdir("/") < 0)
		return "a folder to be in";
	umask(077);
	r->history = history_open(say, NULL, now_ns());
	if (!r->history)
		return "memory";
	last = history_last_id(r->history);
	/* above every number on disk, also when the disk can't be read now */
	denials_start(&r->denials, last >= wall_ns() ? last + 1 : wall_ns());
	source.say = say;
	r->clients = clients_open(&r->loop, FD_LISTENER, &source);
	return r->clients ? NULL : no_loop;
}

/* Keeper and gate are dead: who waited was let go by the kernel. The gate's count stands still once it has died. */
static void count_released(struct recorder *r)
{
	uint64_t start = now_ns(), waiting;
	char line[128];

	while (r->gate.fd >= 0 && now_ns() - start < LAST_LOOK_NS)
		loop_turn(&r->loop, 10);
	if (r->gate.fd < 0)
		records_drain(r, now_ns());
	waiting = __atomic_load_n(&r->page->gate.waiting, __ATOMIC_RELAXED);
	if (waiting == 0)
		return;
	if (!history_add_released(r->history, (int64_t)wall_ns(), waiting)) {
		snprintf(line, sizeof(line), "recorder: %llu accesses released unjudged could not be noted on disk",
			 (unsigned long long)waiting);
		say(NULL, line);
	}
}

int recorder_run(void)
{
	struct recorder *r = calloc(1, sizeof(*r)); /* no static: keeper and gate lock those */
	const char *missing = r ? recorder_open(r) : "memory";
	char line[256];
	bool more = false;

	if (missing) {
		snprintf(line, sizeof(line), "recorder: cannot start: %s (%s)", missing, strerror(errno));
		say(NULL, line);
		return 1;
	}
	tell_ready(r);
	while (!r->stopping) {
		loop_turn(&r->loop, more || r->ring_has_more ? 0 : TURN_MS);
		uint64_t now = now_ns();
		beat(r, now);
		if (r->ring_has_more || now - r->drain_ns >= DRAIN_NS)
			records_drain(r, now);
		more = clients_turn(r->clients);
	}
	if (r->orphaned)
		count_released(r);
	do
		records_drain(r, now_ns());
	while (r->ring_has_more);
	history_close(r->history);
	return 0;
}
