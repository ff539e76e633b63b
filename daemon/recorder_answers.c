// SPDX-License-Identifier: GPL-2.0-only
/* Rows for clients: denials from disk and memory, decisions as they are made, what the gate explains. */
#include <string.h>

#include "frame.h"
#include "recorder_state.h"
#include "users.h"

#define ROWS_LOOKED_AT 500
#define EXPLAIN_NS 1000000000u

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

struct client_source answers_source(struct recorder *r)
{
	return (struct client_source){.owner = r, .asked = client_asked, .next = client_next, .gone = client_gone};
}
