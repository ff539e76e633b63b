// SPDX-License-Identifier: GPL-2.0-only
#include "steward_sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "queue.h"

#define SLICE_NS 2000000u /* of walking in one turn: who waits for the steward waits no longer for it */
#define KEEP_NS (1 * STEWARD_SECOND)
#define SHOW_NS (1 * STEWARD_SECOND)
#define BUSY_PAUSE_NS 100000000u
#define CHANGED_PAUSE_NS 250000000u
#define CHANGED_TRIES 4
#define ANSWER_LATEST_NS (900 * STEWARD_SECOND) /* the longest scan-time, and some: asked again */
#define IDLE_CLASS 3

/* A file that the gate was asked about, or is to be. */
struct flight {
	struct sweep *sweep; /* NULL: free */
	uint64_t id, size;
	uint64_t sent_ns, not_before_ns; /* CLOCK_MONOTONIC; sent_ns 0: still to be sent */
	uint64_t sent_wall_ns;
	int fd;
	uint32_t changed; /* times that it had changed when it was judged */
	char path[SWEEP_PATH_SIZE];
};

static struct sweep *sweeps; /* SWEEP_KINDS; no static array: keeper and gate lock those */
static struct flight flights[SWEEP_IN_FLIGHT];
static uint64_t next_id;

struct sweep *sweeps_of(struct steward *steward, enum sweep_kind kind)
{
	(void)steward;
	return &sweeps[kind];
}

/* ---- telling ---- */

void sweep_tell(struct sweep *sweep, const char *path, const struct steward_request *finding, uint64_t size,
		const char *text, enum sweep_action action)
{
	static const struct verdict unreadable = {.kind = VERDICT_UNSCANNED, .reason = REASON_IO_ERROR};
	struct sweep_row *row = &sweep->rows[(sweep->row_first + sweep->row_count) % SWEEP_ROWS];
	const struct policy *policy = sweep->steward->policy;

	if (sweep->state->kind != SWEEP_ASKED || sweep->row_count == SWEEP_ROWS)
		return;
	*row = (struct sweep_row){.path = strdup(path), .action = action};
	if (!row->path)
		return;
	row->item.verdict = finding ? finding->verdict : unreadable;
	row->item.size = size;
	row->redo = finding && action != SWEEP_MOVED;
	if (finding) {
		row->item.which = finding->which;
		row->item.definitions = finding->definitions;
		memcpy(row->item.policy, finding->policy, sizeof(row->item.policy));
		memcpy(row->item.detail, finding->detail, sizeof(row->item.detail));
		memcpy(row->item.queue_id, finding->queue_id, sizeof(row->item.queue_id));
		memcpy(row->item.message_id, finding->message_id, sizeof(row->item.message_id));
		if (policy && finding->watch < policy->watch_count)
			snprintf(row->item.watch, sizeof(row->item.watch), "%.1023s",
				 policy->watches[finding->watch].path);
	}
	snprintf(row->text, sizeof(row->text), "%s", text ? text : "");
	sweep->row_count++;
}

/* ---- files in flight ---- */

static struct flight *flight_free(void)
{
	for (struct flight *flight = flights; flight < flights + SWEEP_IN_FLIGHT; flight++)
		if (!flight->sweep)
			return flight;
	return NULL;
}

static void flight_end(struct flight *flight)
{
	flight->sweep->in_flight--;
	close(flight->fd);
	flight->sweep = NULL;
}

/* Sends what is to be sent, and again what nobody answers any more. */
static void flights_tend(struct steward *steward, uint64_t now)
{
	for (struct flight *flight = flights; flight < flights + SWEEP_IN_FLIGHT; flight++) {
		struct steward_reply ask = {.version = WIRE_VERSION, .kind = STEWARD_SCAN, .case_id = flight->id};
		if (!flight->sweep || now < flight->not_before_ns ||
		    (flight->sent_ns && now - flight->sent_ns < ANSWER_LATEST_NS))
			continue;
		ask.rank = RANK_SWEEP | (flight->sweep->state->flags & SWEEP_ALL ? STEWARD_SCAN_ANEW : 0);
		flight->sent_wall_ns = wall_ns();
		flight->sent_ns = steward_tell_gate(steward, &ask, flight->fd) == 0 ? now : 0;
	}
}

void sweeps_gate(struct steward *steward)
{
	(void)steward;
	for (struct flight *flight = flights; flight < flights + SWEEP_IN_FLIGHT; flight++)
		flight->sent_ns = 0;
}

/* ---- what the gate says ---- */

/* Where no watch says what is to be done of it, and who asked for the sweep did. */
static enum sweep_action move_away(struct sweep *sweep, const struct flight *flight,
				   const struct steward_request *finding, const char *path, char *text, size_t size)
{
	char id[32];
	int error;

	/* A control file of its store, or a user's own file: taking it would break more than it helps. */
	if (policy_match(sweep->steward->policy, path) >= 0) {
		snprintf(text, size, "not moved to the quarantine: a watch lies there, whose policy leaves it alone");
		return SWEEP_NOT_MOVED;
	}
	error = quarantine_take_named(sweep->steward, finding, flight->fd, path, id);
	if (error)
		snprintf(text, size, "not moved to the quarantine: %s",
			 error == -EXDEV ? "no watch that moves anything lies on its mount" : strerrordesc_np(-error));
	else
		snprintf(text, size, "moved to the quarantine as %s", id);
	return error ? SWEEP_NOT_MOVED : SWEEP_MOVED;
}

/* What the latest row has been counted as. */
static void note_row(struct sweep *sweep, bool known, bool infected)
{
	struct sweep_row *row = &sweep->rows[(sweep->row_first + sweep->row_count - 1) % SWEEP_ROWS];

	if (sweep->row_count == 0)
		return;
	row->known = known;
	row->infected = infected;
	row->unscanned = !infected || row->item.verdict.kind == VERDICT_UNSCANNED;
}

static void judged(struct sweep *sweep, const struct flight *flight, const struct steward_request *finding)
{
	static char path[SWEEP_PATH_SIZE + 64];
	struct sweep_counts *counts = &sweep->state->counts;
	enum sweep_action action = (enum sweep_action)finding->action;
	bool infected = finding->verdict.kind == VERDICT_INFECTED && !finding->allowed;
	char text[256] = "";

	counts->known += finding->judged_ns && finding->judged_ns < flight->sent_wall_ns;
	counts->infected += infected;
	counts->unscanned += finding->verdict.kind == VERDICT_UNSCANNED;
	if (!infected && finding->verdict.kind != VERDICT_UNSCANNED)
		return;
	walking_path(sweep, flight->path, path, sizeof(path));
	if (infected && finding->watch == UINT32_MAX && sweep->state->flags & SWEEP_QUARANTINE)
		action = move_away(sweep, flight, finding, path, text, sizeof(text));
	counts->moved += action == SWEEP_MOVED;
	sweep_tell(sweep, path, finding, flight->size, text, action);
	note_row(sweep, finding->judged_ns && finding->judged_ns < flight->sent_wall_ns, infected);
}

/* It is written to again and again. */
static void never_still(struct sweep *sweep, const struct flight *flight)
{
	static char path[SWEEP_PATH_SIZE + 64];
	static struct steward_request finding;

	finding = (struct steward_request){.watch = UINT32_MAX,
					   .verdict = {.kind = VERDICT_UNSCANNED, .reason = REASON_BUSY}};
	snprintf(finding.detail, sizeof(finding.detail), "it changed each time that it was judged");
	sweep->state->counts.changing++;
	sweep->state->counts.unscanned++;
	walking_path(sweep, flight->path, path, sizeof(path));
	sweep_tell(sweep, path, &finding, flight->size, "", SWEEP_REPORTED);
	note_row(sweep, false, false);
}

void sweeps_finding(struct steward *steward, const struct steward_request *finding)
{
	struct flight *flight = flights;
	struct sweep *sweep;

	(void)steward;
	while (flight < flights + SWEEP_IN_FLIGHT && (!flight->sweep || flight->id != finding->case_id))
		flight++;
	if (flight == flights + SWEEP_IN_FLIGHT || finding->action >= SWEEP_ACTIONS)
		return;
	sweep = flight->sweep;
	if (finding->result == -EBUSY || (finding->result == -EAGAIN && ++flight->changed < CHANGED_TRIES)) {
		flight->sent_ns = 0;
		flight->not_before_ns = now_ns() + (finding->result == -EBUSY ? BUSY_PAUSE_NS : CHANGED_PAUSE_NS);
		return;
	}
	if (finding->result == -EINVAL || finding->result == -ENOENT) {
		sweep->state->counts.vanished++;
	} else {
		sweep->state->counts.files++;
		sweep->state->counts.bytes += flight->size;
		if (finding->result == 0)
			judged(sweep, flight, finding);
		else
			never_still(sweep, flight);
	}
	flight_end(flight);
}

/* ---- one sweep ---- */

static void note_redo(struct sweep_state *state, const char *path)
{
	if (state->redo_count < SWEEP_REDO_MAX)
		snprintf(state->redo[state->redo_count++], SWEEP_PATH_SIZE, "%s", path);
}

/* What was asked about and has no answer, and findings that nobody has seen: these are not counted, but asked about
 * again by who goes on. */
static void note_unfinished(struct sweep *sweep)
{
	struct sweep_state *state = sweep->state;
	struct sweep_counts *counts = &state->counts;
	size_t root = strlen(state->root < state->root_count ? state->roots[state->root].path : "");

	state->redo_count = 0;
	for (struct flight *flight = flights; flight < flights + SWEEP_IN_FLIGHT; flight++)
		if (flight->sweep == sweep)
			note_redo(state, flight->path);
	for (uint32_t i = sweep->redo; i < sweep->redo_count; i++)
		note_redo(state, sweep->redo_paths[i]);
	for (uint32_t i = 0; i < sweep->row_count && state->root < state->root_count; i++) {
		const struct sweep_row *row = &sweep->rows[(sweep->row_first + i) % SWEEP_ROWS];
		if (!row->redo)
			continue;
		note_redo(state, row->path + root + strspn(row->path + root, "/"));
		counts->files--;
		counts->bytes -= row->item.size;
		counts->known -= row->known;
		counts->infected -= row->infected;
		counts->unscanned -= row->unscanned;
		counts->changing -=
			row->unscanned && row->item.verdict.reason == REASON_BUSY && row->item.definitions == 0;
	}
}

static void keep(struct sweep *sweep)
{
	struct sweep_counts counts = sweep->state->counts;

	note_unfinished(sweep);
	walking_note(sweep);
	keeping_write(sweep);
	if (sweep->state->state == SWEEP_RUNNING)
		sweep->state->counts = counts;
}

void sweep_begin(struct steward *steward, struct sweep *sweep)
{
	sweep->steward = steward;
	sweep->running = true;
	sweep->in_flight = 0;
	sweep->begun_ns = now_ns();
	sweep->begun_files = sweep->state->counts.files;
	sweep->begun_bytes = sweep->state->counts.bytes;
	sweep->row_first = sweep->row_count = 0;
	sweep->row_serial = 0;
	sweep->throttled = false;
	sweep->state->state = SWEEP_RUNNING;
	sweep->state->ended_ns = 0;
	walking_begin(sweep);
	keep(sweep);
	keeping_show(sweep->state, 0);
}

void sweep_stop(struct sweep *sweep, enum sweep_state_kind state)
{
	if (!sweep->running)
		return;
	sweep->state->state = state;
	if (state == SWEEP_ENDED) {
		sweep->state->ended_ns = wall_ns();
		sweep->state->root = sweep->state->root_count;
	}
	keep(sweep);
	for (struct flight *flight = flights; flight < flights + SWEEP_IN_FLIGHT; flight++)
		if (flight->sweep == sweep)
			flight_end(flight);
	walking_end(sweep);
	asked_forget_rows(sweep, state);
	sweep->running = false;
	if (sweep->state->kind == SWEEP_SCHEDULED && state == SWEEP_ENDED)
		schedule_ended(sweep);
	else
		keeping_show(sweep->state, 0);
}

/* One file or folder. false: nothing can be done just now. */
static bool step(struct sweep *sweep)
{
	struct flight *flight = flight_free();
	uint64_t size = 0;
	int fd = -1;

	if (!flight || !asked_has_room(sweep))
		return false;
	switch (walking_step(sweep, &fd, &size, flight->path)) {
	case WALKING_AGAIN:
		return true;
	case WALKING_FILE:
		flight->sweep = sweep;
		flight->id = ++next_id;
		flight->fd = fd;
		flight->size = size;
		flight->sent_ns = flight->not_before_ns = 0;
		flight->changed = 0;
		sweep->in_flight++;
		return true;
	case WALKING_NOTHING:
		return false;
	case WALKING_END:
		break;
	}
	sweep_stop(sweep, SWEEP_ENDED);
	return false;
}

/* For a while. true: there is more to do at once. */
static bool go_on(struct sweep *sweep, bool throttled)
{
	uint64_t end = now_ns() + SLICE_NS;
	bool more = true, counting = true;

	sweep->throttled = throttled;
	while (sweep->running && (more || counting) && now_ns() < end) {
		more = !throttled && more && step(sweep);
		counting = !throttled && counting && sweep->running && walking_count(sweep);
	}
	return sweep->running && (more || counting);
}

static void keep_now_and_then(struct sweep *sweep, uint64_t now)
{
	if (now - sweep->kept_ns > KEEP_NS)
		keep(sweep);
	if (now - sweep->shown_ns > SHOW_NS) {
		keeping_show(sweep->state, 0);
		sweep->shown_ns = now;
	}
}

/* Reading folders, opening files, reading ahead: all others' requests go first. */
static void disk_goes_last(bool last)
{
	syscall(SYS_ioprio_set, 1 /* this thread */, 0, last ? IDLE_CLASS << 13 : 0);
}

static bool somebody_waits(const struct steward *steward)
{
	return __atomic_load_n(&steward->page->gate.waiting, __ATOMIC_RELAXED) > 0;
}

bool sweeps_turn(struct steward *steward, uint64_t now)
{
	bool throttled, more = false, any = false;

	if (!steward->policy)
		return false;
	schedule_turn(steward, &sweeps[SWEEP_SCHEDULED], now);
	if (sweeps[SWEEP_ASKED].client && !asked_turn(steward, &sweeps[SWEEP_ASKED], now))
		sweep_stop(&sweeps[SWEEP_ASKED], SWEEP_INTERRUPTED);
	for (int i = 0; i < SWEEP_KINDS; i++)
		any |= sweeps[i].running;
	if (!any)
		return false;
	throttled = somebody_waits(steward) || steward->gate.fd < 0;
	disk_goes_last(true);
	for (int i = 0; i < SWEEP_KINDS; i++)
		if (sweeps[i].running)
			more |= go_on(&sweeps[i], throttled);
	disk_goes_last(false);
	flights_tend(steward, now_ns());
	for (int i = 0; i < SWEEP_KINDS; i++)
		if (sweeps[i].running)
			keep_now_and_then(&sweeps[i], now);
	return more;
}

/* ---- the room ---- */

int sweeps_open(struct steward *steward)
{
	sweeps = calloc(SWEEP_KINDS, sizeof(*sweeps));
	if (!sweeps)
		return -ENOMEM;
	for (int i = 0; i < SWEEP_KINDS; i++) {
		sweeps[i].steward = steward;
		sweeps[i].state = calloc(1, sizeof(*sweeps[i].state));
		if (!sweeps[i].state)
			return -ENOMEM;
		sweeps[i].state->kind = (uint32_t)i;
		for (uint32_t j = 0; j < SWEEP_ROOTS_MAX; j++)
			sweeps[i].roots[j].fd = -1;
	}
	next_id = wall_ns() & ~STEWARD_RECHECK_ID;
	schedule_open(steward);
	return asked_open(steward);
}

void sweeps_end(struct steward *steward)
{
	(void)steward;
	for (int i = 0; i < SWEEP_KINDS; i++)
		sweep_stop(&sweeps[i], SWEEP_INTERRUPTED);
}
