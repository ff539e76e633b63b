// SPDX-License-Identifier: GPL-2.0-only
/*
 * ring -> struct denials (memory, the truth about new rows) -> struct history (disk); clients are fed from both. A
 * record leaves the ring only after an attempt to save it, so a recorder that is killed loses none.
 */
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

#include "clients.h"
#include "denials.h"
#include "frame.h"
#include "history.h"
#include "loop.h"
#include "rights.h"
#include "ring.h"
#include "shared.h"
#include "users.h"

#define BEAT_NS 250000000u
#define DRAIN_NS 200000000u
#define TURN_MS 100
#define SAVE_AFTER 500 /* records; fewer than DENIALS_KEPT, so that none makes way before it was saved */
#define BATCHES_PER_TURN 8
#define ROWS_LOOKED_AT 500
#define LIVE_KEPT 512
#define EXPLAINS_MAX 16
#define EXPLAIN_NS 1000000000u
#define LAST_LOOK_NS 200000000u /* for the gate to die after the keeper */

/* One decision for `mailward watch`; a gap where record is NULL. */
struct live_row {
	struct record *record;
	uint64_t lost;
};

struct explain {
	uint64_t id; /* 0: unused */
	bool answered;
	struct explain_reply reply;
};

struct recorder {
	struct loop loop;
	struct loop_handler leash, bell, gate, signals, names;
	const struct status_page *page;
	struct ring *ring;
	uint64_t ring_position;
	bool ring_has_more, stopping, orphaned;
	uint64_t beat_ns, drain_ns; /* CLOCK_MONOTONIC of the latest */
	struct denials denials;
	struct history *history;
	struct clients *clients;
	uint64_t live_next; /* number of the next live row; it lies at live_next % LIVE_KEPT */
	struct live_row live[LIVE_KEPT];
	uint64_t explain_next;
	struct explain explains[EXPLAINS_MAX];
};

static struct recorder recorder; /* large, one per process */

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

/* ---- records ---- */

static void live_push(struct recorder *r, const struct record *record, size_t size, uint64_t lost)
{
	struct live_row *row = &r->live[r->live_next % LIVE_KEPT];

	if (!__atomic_load_n(&r->ring->watchers, __ATOMIC_RELAXED))
		return;
	free(row->record);
	*row = (struct live_row){.lost = lost};
	if (record && (row->record = malloc(size)) != NULL)
		memcpy(row->record, record, size);
	else
		row->lost += record != NULL;
	r->live_next++;
}

static void add_denial(struct recorder *r, const struct record *record, size_t size, uint64_t count)
{
	struct denial *denial = denials_add(&r->denials, record, size, count);

	if (!denial || denial->user[0] || denial->nameless)
		return;
	denial->nameless = !users_name(record->uid, now_ns(), denial->user);
	r->denials.nameless += denial->nameless;
}

static void add_gap(struct recorder *r, uint64_t count)
{
	denials_add_gap(&r->denials, (int64_t)wall_ns(), count);
	live_push(r, NULL, 0, count);
}

/* Names that have come since. */
static void name_denials(struct recorder *r)
{
	uint64_t now = now_ns();

	if (!r->denials.nameless)
		return;
	r->denials.nameless = 0;
	for (uint64_t id = r->denials.first_id; id < r->denials.next_id; id++) {
		struct denial *denial = denials_get(&r->denials, id);
		if (!denial->nameless)
			continue;
		denial->nameless = !users_name(denial->record->uid, now, denial->user);
		denial->unsaved |= denial->user[0] != 0;
		r->denials.nameless += denial->nameless;
	}
}

static void save(struct recorder *r)
{
	uint64_t lost = __atomic_load_n(&r->ring->lost, __ATOMIC_RELAXED);
	uint64_t told = __atomic_load_n(&r->ring->lost_told, __ATOMIC_RELAXED);

	if (lost > told)
		add_gap(r, lost - told);
	if (r->denials.forgotten && history_works(r->history)) {
		add_gap(r, r->denials.forgotten);
		r->denials.forgotten = 0;
	}
	history_save(r->history, &r->denials, now_ns(), (int64_t)wall_ns());
	ring_release(r->ring, r->ring_position);
	__atomic_store_n(&r->ring->lost_told, lost, __ATOMIC_RELAXED);
}

static void drain_batch(struct recorder *r)
{
	static union {
		struct record align;
		char bytes[RECORD_MAX];
	} buffer;
	const struct record *record = &buffer.align;
	unsigned unusable = 0;
	size_t size;

	r->ring_has_more = true;
	for (int i = 0; i < SAVE_AFTER && r->ring_has_more; i++) {
		uint64_t before = r->ring_position;
		size = ring_peek(r->ring, &r->ring_position, buffer.bytes, sizeof(buffer.bytes));
		r->ring_has_more = size > 0;
		if (size == 0) {
			unusable += r->ring_position != before;
		} else if (!record_is_sound(record, size)) {
			unusable++;
		} else {
			if (record_is_denial(record))
				add_denial(r, record, size, 1);
			live_push(r, record, size, 0);
		}
	}
	if (unusable)
		add_gap(r, unusable);
	save(r);
}

static void drain(struct recorder *r, uint64_t now)
{
	r->drain_ns = now;
	name_denials(r);
	for (int i = 0; i < BATCHES_PER_TURN; i++) {
		drain_batch(r);
		if (!r->ring_has_more)
			return;
	}
}

static void bell_ready(void *owner, uint32_t events)
{
	struct recorder *r = owner;
	uint64_t count;

	(void)events;
	if (read(FD_RECORD_BELL, &count, sizeof(count)) < 0 && errno == EAGAIN)
		return;
	drain(r, now_ns());
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
	name_denials(r);
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
	if (record_is_denial(&note.record))
		add_denial(r, &note.record, size, frame->value);
	live_push(r, &note.record, size, 0);
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

/* ---- to clients ---- */

static void client_asked(void *owner, struct client_view *view)
{
	struct recorder *r = owner;

	view->end = view->request.verb == RECORDER_BLOCKED ? r->denials.next_id : UINT64_MAX;
	if (view->request.verb == RECORDER_WATCH) {
		view->position = r->live_next;
		__atomic_store_n(&r->ring->watchers, clients_count(r->clients, RECORDER_WATCH), __ATOMIC_RELAXED);
	}
	if (view->request.verb != RECORDER_EXPLAIN)
		return;
	for (int i = 0; i < EXPLAINS_MAX && r->gate.fd >= 0; i++) {
		struct explain_request request = {.version = WIRE_VERSION, .id = r->explain_next + 1};
		if (r->explains[i].id)
			continue;
		if (frame_send(r->gate.fd, &request, sizeof(request), view->file_fd) == 0) {
			r->explains[i] = (struct explain){.id = request.id};
			view->position = r->explain_next = request.id;
		}
		break;
	}
}

static struct explain *explain_of(struct recorder *r, const struct client_view *view)
{
	for (int i = 0; i < EXPLAINS_MAX; i++)
		if (view->position && r->explains[i].id == view->position)
			return &r->explains[i];
	return NULL;
}

static void client_gone(void *owner, const struct client_view *view)
{
	struct recorder *r = owner;

	if (view->request.verb == RECORDER_WATCH)
		__atomic_store_n(&r->ring->watchers, clients_count(r->clients, RECORDER_WATCH), __ATOMIC_RELAXED);
	if (view->request.verb == RECORDER_EXPLAIN && explain_of(r, view))
		explain_of(r, view)->id = 0;
}

static enum client_next row_end(struct row_frame *row)
{
	memset(row, 0, sizeof(*row));
	row->version = WIRE_VERSION;
	row->kind = ROW_END;
	return NEXT_ROW;
}

static enum client_next next_explain(struct recorder *r, const struct client_view *view, struct client_view *after,
				     struct row_frame *row)
{
	const struct explain *explain = explain_of(r, view);

	if (explain && !explain->answered && r->gate.fd >= 0 && now_ns() - view->started_ns < EXPLAIN_NS)
		return NEXT_NOTHING;
	row_end(row);
	if (!explain || !explain->answered || view->end == 0)
		return NEXT_ROW;
	after->end = 0; /* said; ROW_END comes next */
	row->kind = ROW_EXPLAIN;
	row->explain = explain->reply;
	return NEXT_ROW;
}

static void gap_to_frame(struct row_frame *row, uint64_t count)
{
	row_end(row);
	row->kind = ROW_GAP;
	row->time_ns = (int64_t)wall_ns();
	row->uid = UINT32_MAX;
	row->count = count;
}

static enum client_next next_live(struct recorder *r, const struct client_view *view, struct client_view *after,
				  struct row_frame *frame)
{
	static struct denial_row row;
	uint64_t oldest = r->live_next > LIVE_KEPT ? r->live_next - LIVE_KEPT : 0;

	if (view->position < oldest) {
		after->position = oldest;
		gap_to_frame(frame, oldest - view->position);
		return NEXT_ROW;
	}
	while (after->position < r->live_next) {
		const struct live_row *live = &r->live[after->position++ % LIVE_KEPT];
		if (!live->record) {
			gap_to_frame(frame, live->lost);
			return NEXT_ROW;
		}
		record_to_frame(live->record, &row.frame);
		row.last_ns = row.frame.time_ns;
		if (!row_is_wanted(&view->request, &row))
			continue;
		if (!users_name(row.frame.uid, now_ns(), row.frame.user)) {
			after->position--;
			return NEXT_NOTHING;
		}
		*frame = row.frame;
		return NEXT_ROW;
	}
	return NEXT_NOTHING;
}

/* The first row after this number: from disk where it is no longer in memory. */
static bool row_after(struct recorder *r, uint64_t id, struct denial_row *row)
{
	const struct denial *denial;

	if (id + 1 < r->denials.first_id && history_next(r->history, id, r->denials.first_id, row))
		return true;
	denial = denials_get(&r->denials, id + 1 > r->denials.first_id ? id + 1 : r->denials.first_id);
	if (denial)
		denial_to_row(denial, row);
	return denial != NULL;
}

static enum client_next next_denial(struct recorder *r, const struct client_view *view, struct client_view *after,
				    struct row_frame *frame)
{
	static struct denial_row row;

	for (int i = 0; i < ROWS_LOOKED_AT; i++) {
		if (!row_after(r, after->position, &row) || row.id >= view->end)
			return view->end == UINT64_MAX ? NEXT_NOTHING : row_end(frame);
		if (row_is_wanted(&view->request, &row)) {
			if (!row.frame.user[0] && !users_name(row.frame.uid, now_ns(), row.frame.user))
				return NEXT_NOTHING;
			after->position = row.id;
			*frame = row.frame;
			return NEXT_ROW;
		}
		after->position = row.id;
	}
	return NEXT_LATER;
}

static enum client_next client_next(void *owner, const struct client_view *view, struct client_view *after,
				    struct row_frame *row)
{
	switch ((enum recorder_verb)view->request.verb) {
	case RECORDER_EXPLAIN:
		return next_explain(owner, view, after, row);
	case RECORDER_WATCH:
		return next_live(owner, view, after, row);
	case RECORDER_BLOCKED:
	case RECORDER_FOLLOW:
		return next_denial(owner, view, after, row);
	case RECORDER_VERBS:
		break;
	}
	return row_end(row);
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
	const struct client_source source = {
		.owner = r, .asked = client_asked, .next = client_next, .gone = client_gone, .say = say};
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
		drain(r, now_ns());
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
	struct recorder *r = &recorder;
	const char *missing = recorder_open(r);
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
			drain(r, now);
		more = clients_turn(r->clients);
	}
	if (r->orphaned)
		count_released(r);
	do
		drain(r, now_ns());
	while (r->ring_has_more);
	history_close(r->history);
	return 0;
}
