/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The latest denials, as the recorder keeps them in memory: each a row with a number, equal ones counted in one row for
 * a minute. They are the truth about the newest rows (the history on disk is written from them), and all that there is
 * while the disk fails. No system calls; time as a parameter.
 */
#ifndef MAILWARD_DENIALS_H
#define MAILWARD_DENIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "wire.h"

#define DENIALS_KEPT 1000
#define DENIALS_WINDOW_NS (60 * 1000000000LL)

struct denial {
	uint64_t id;
	int64_t first_ns, last_ns; /* CLOCK_REALTIME */
	uint64_t count;
	uint64_t saved_count;  /* of count, what the history has */
	uint64_t wait_ns;      /* the longest */
	uint32_t kind;         /* ROW_RECORD or ROW_GAP */
	bool unsaved;          /* to be written to the history */
	bool nameless;         /* the name of its user is still being looked up */
	char user[64];         /* empty: not known */
	size_t size;           /* of the record with its texts */
	struct record *record; /* owned; its texts lie behind it */
};

struct denials {
	uint64_t next_id;   /* of the next row; numbers rise by one and are never used twice */
	uint64_t first_id;  /* of the oldest row in memory; == next_id: none */
	uint64_t forgotten; /* accesses dropped from memory that were never saved */
	unsigned nameless;  /* rows with that flag, at most */
	uint64_t fingerprints[DENIALS_KEPT];
	struct denial rows[DENIALS_KEPT]; /* row `id` lies at id % DENIALS_KEPT */
};

/* A row as clients and the history see it. */
struct denial_row {
	uint64_t id;
	int64_t last_ns;
	struct row_frame frame;
};

void denials_start(struct denials *denials, uint64_t next_id);
void denials_end(struct denials *denials);

/* Is this a record whose sizes, enums and texts can be used? */
bool record_is_sound(const void *bytes, size_t size);
/* Text number `text` of a sound record: its start, not zero-terminated; *size_out its bytes. */
const char *record_text(const struct record *record, enum record_text text, size_t *size_out);

/* Does the history keep it: a denial, or what would have been one? */
bool record_is_denial(const struct record *record);

/* Adds `count` accesses of one sound record: to the row of an equal denial (same watch, inode, verdict, program, user
 * and, where both name one, Message-ID, access and answer) that began less than a minute before, else as a new row. The
 * row, or NULL for want of memory (counted in forgotten). The oldest row makes room; where it was never saved, that is
 * counted too. */
struct denial *denials_add(struct denials *denials, const struct record *record, size_t size, uint64_t count);
/* Counts `count` lost records in a row that says so: the one of the last minute, or a new one. */
struct denial *denials_add_gap(struct denials *denials, int64_t time_ns, uint64_t count);

/* The row with this number, or NULL when it isn't in memory. */
struct denial *denials_get(struct denials *denials, uint64_t id);
/* Everything is in the history now. */
void denials_saved(struct denials *denials);
/* The history has been lost and begins anew: write them all again. */
void denials_unsave(struct denials *denials);

void denial_to_row(const struct denial *denial, struct denial_row *row_out);
/* One record as a row of its own (mailward watch). */
void record_to_frame(const struct record *record, struct row_frame *frame_out);

/* Does a row match what a client asks for? A gap matches whenever its time does. */
bool row_is_wanted(const struct recorder_request *request, const struct denial_row *row);

#endif
