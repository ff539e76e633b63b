/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Denials on disk: a SQLite database `history.sqlite` in the current directory (no other path is looked at, so the
 * folders above it may be closed to us). Nothing here fails for the caller: while the disk is full, read-only or
 * broken, rows stay unsaved in struct denials, and another try is made every five seconds. A damaged database is
 * renamed to history.sqlite.damaged (one is kept) and a new one begun.
 *
 * Bounds: HISTORY_DAYS, HISTORY_ROWS and HISTORY_BYTES, whichever comes first; the oldest rows go.
 */
#ifndef MAILWARD_HISTORY_H
#define MAILWARD_HISTORY_H

#include "denials.h"

#define HISTORY_FILE "history.sqlite"
#define HISTORY_DAMAGED "history.sqlite.damaged"
#define HISTORY_DAYS 90
#define HISTORY_ROWS 100000
#define HISTORY_BYTES (256u << 20)
#define HISTORY_RETRY_NS 5000000000u

struct history;

/* say: one line for the log, when the disk fails and when it works again; owner is passed along. NULL: no memory. */
struct history *history_open(void (*say)(void *owner, const char *line), void *owner, uint64_t now_ns);
/* Whether the disk can be used now. */
bool history_works(const struct history *history);
void history_close(struct history *history);

/* The highest number of a row on disk, 0: none (or the disk fails). */
uint64_t history_last_id(struct history *history);

/* Writes what is unsaved, in one transaction, and takes old rows away. now_ns: CLOCK_MONOTONIC, for tries after a
 * failure; wall_ns for the age of rows. True: nothing is unsaved any more. */
bool history_save(struct history *history, struct denials *denials, uint64_t now_ns, int64_t wall_ns);

/* The first row on disk with after < id < before. False: none, or the disk fails. */
bool history_next(struct history *history, uint64_t after, uint64_t before, struct denial_row *row_out);

/* counts_out[h]: accesses denied (not would-deny) in the hour that ended h hours before time_ns. */
void history_hours(struct history *history, int64_t time_ns, uint32_t counts_out[24]);

/* Accesses that the kernel let go unjudged because keeper and gate had ended together. */
bool history_add_released(struct history *history, int64_t time_ns, uint64_t count);
uint64_t history_released(struct history *history, int64_t since_ns);

#endif
