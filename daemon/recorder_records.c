// SPDX-License-Identifier: GPL-2.0-only
/* From the ring to memory and disk. A record leaves the ring only after an attempt to save it, so a recorder that is
 * killed loses none. */
#include <stdlib.h>
#include <string.h>

#include "recorder_state.h"
#include "users.h"

#define SAVE_AFTER 500 /* records; fewer than DENIALS_KEPT, so that none makes way before it was saved */
#define BATCHES_PER_TURN 8

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

void records_take(struct recorder *r, const struct record *record, size_t size, uint64_t count)
{
	if (record_is_denial(record))
		add_denial(r, record, size, count);
	live_push(r, record, size, 0);
}

static void add_gap(struct recorder *r, uint64_t count)
{
	denials_add_gap(&r->denials, (int64_t)wall_ns(), count);
	live_push(r, NULL, 0, count);
}

void records_name(struct recorder *r)
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
			records_take(r, record, size, 1);
		}
	}
	if (unusable)
		add_gap(r, unusable);
	save(r);
}

void records_drain(struct recorder *r, uint64_t now)
{
	r->drain_ns = now;
	records_name(r);
	for (int i = 0; i < BATCHES_PER_TURN; i++) {
		drain_batch(r);
		if (!r->ring_has_more)
			return;
	}
}
