/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the recorder share: recorder.c (loop, keeper and gate), recorder_records.c (from the ring to memory
 * and disk), recorder_answers.c (rows for clients). */
#ifndef MAILWARD_RECORDER_STATE_H
#define MAILWARD_RECORDER_STATE_H

#include "clients.h"
#include "denials.h"
#include "history.h"
#include "loop.h"
#include "ring.h"
#include "shared.h"

#define LIVE_KEPT 512
#define EXPLAINS_MAX 16

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

/* ---- recorder_records.c ---- */

/* Takes what lies in the ring, saves it, and lets go of it; not more than a bounded part (ring_has_more). */
void records_drain(struct recorder *r, uint64_t now);
/* One sound record that stands for `count` accesses: to the history if it is a denial, and to who watches. */
void records_take(struct recorder *r, const struct record *record, size_t size, uint64_t count);
/* Names of users that have come since. */
void records_name(struct recorder *r);

/* ---- recorder_answers.c ---- */

/* What clients.h wants to know; say is left to the caller. */
struct client_source answers_source(struct recorder *r);

#endif
