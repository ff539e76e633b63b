/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cases: one generation of one file being judged, and the accesses that wait for it. No system calls; time is a
 * parameter (CLOCK_MONOTONIC, ns). All memory is taken at cases_open(); nothing is allocated later.
 *
 *                    asked     its turn     digest known      reply        worker lost          content changed
 *   CASE_RIPENING    join      -            -                 -            -                    -
 *   CASE_READY       join      HASHING or   -                 -            -                    -
 *                              SCANNING
 *   CASE_HASHING     join      -            ended, or READY   -            (hasher) READY       READY, if one waits
 *   CASE_SCANNING    join      -            -                 ended        1st READY, 2nd       READY, if one waits
 *                                                                          ended: crashed
 *
 * CASE_PARTING: judged; the file is being moved away, and who waits is answered after that. It is joined like the
 * others, and ended by cases_end() alone.
 *
 * A case outlives its waiters: a scan that is past somebody's deadline goes on. RIPENING lasts until the file's change
 * time is older than the clock's tick, so that a later change must show.
 */
#ifndef MAILWARD_CASES_H
#define MAILWARD_CASES_H

#include <stdbool.h>
#include <stdint.h>

#include "attachment.h"
#include "queue.h"

#define CASES_MAX 32768
#define SLOTS_MAX 65536 /* accesses are told apart by their descriptor number */
#define NO_SLOT UINT32_MAX

enum case_state { CASE_FREE = 0, CASE_RIPENING, CASE_READY, CASE_HASHING, CASE_SCANNING, CASE_PARTING };

struct file_case {
	struct queue_link link; /* first: the queue's handle on the case */
	struct generation generation;
	uint64_t id; /* never used twice in one run */
	uint64_t begun_ns;
	uint64_t ripe_ns;     /* RIPENING: until then */
	uint64_t since_ns;    /* HASHING, SCANNING: since then */
	uint32_t next;        /* in its hash chain, or the free list */
	uint32_t first, last; /* waiters, oldest first; NO_SLOT */
	uint32_t watch;       /* index in the policy, of who began it */
	int fd;               /* the file, the case's own */
	uint8_t state;        /* enum case_state */
	uint8_t lost;         /* workers lost over it */
	uint8_t rank;         /* enum rank, while nobody waits for it; who waits makes it RANK_READER */
	bool hashed;          /* digest is known, or will not be */
	bool has_digest;
	bool writer; /* somebody may be writing: the verdict counts for its waiters only, and nobody joins any more */
	bool unsettled;   /* the change time is not older than the clock: as with a writer */
	bool touched;     /* a writer has closed the file since the case's turn came */
	bool confirming;  /* a verdict is there; only the digest is taken again, to see that it is still that content */
	bool anew;        /* the caller's: what is known of its content does not count */
	uint16_t pending; /* the caller's place for that verdict */
	uint16_t rounds;  /* how often it began anew */
	uint8_t digest[32];
};

struct cases;

int cases_open(struct cases **cases_out); /* 0 or -ENOMEM */
void cases_close(struct cases **cases);

/* The case that may be joined by who sees this generation, or NULL: the same file and size, and no writer since. (The
 * change time may be later: a rename. The verdict is confirmed before it counts.) */
struct file_case *cases_find(struct cases *cases, const struct generation *generation);

/* A new case, RIPENING until ripe_ns (READY at once where that is not later than now), in line by its rank. It owns fd
 * from now on: take it back before cases_end(). NULL: no room. */
struct file_case *cases_begin(struct cases *cases, const struct generation *generation, int fd, uint32_t watch,
			      uint64_t now, uint64_t ripe_ns, enum rank rank);
/* Somebody asks for it with this rank: it moves up, never down. */
void cases_raise(struct cases *cases, struct file_case *file_case, enum rank rank);

/* An access (a free slot below SLOTS_MAX) waits for the case until deadline_ns. */
void cases_join(struct cases *cases, struct file_case *file_case, uint32_t slot, uint64_t deadline_ns);

/* Takes one access whose deadline has passed from its case. NO_SLOT: none. The case goes on. */
uint32_t cases_expire(struct cases *cases, uint64_t now);
/* Takes the oldest waiter of a case. NO_SLOT: none. */
uint32_t cases_leave(struct cases *cases, struct file_case *file_case);
/* Takes this access from the case it waits for. false: it waits for none. */
bool cases_forget(struct cases *cases, uint32_t slot);

/* Which case's turn it is (READY) to be hashed or, where `hashed`, to be scanned, of those that somebody waits for or
 * soon will, or of the `background` ones; NULL: none. It stays where it is until cases_start(). */
struct file_case *cases_turn(struct cases *cases, uint64_t now, bool hashed, bool background);
/* As it stands in line: RANK_READER where somebody waits. */
enum rank cases_rank(const struct file_case *file_case);
void cases_start(struct cases *cases, struct file_case *file_case, enum case_state state, uint64_t now);
/* A writer has closed this file (handle alone will do). */
void cases_touch(struct cases *cases, const struct generation *file);
void cases_touch_all(struct cases *cases);

/* Back to READY (or RIPENING), as the generation given: the content changed, the digest says nothing, a worker was
 * lost, the verdict is to be confirmed. What is known of the digest is the caller's to set. */
void cases_again(struct cases *cases, struct file_case *file_case, const struct generation *generation, uint64_t now,
		 uint64_t ripe_ns);
/* The case is over; it must have no waiters. */
void cases_end(struct cases *cases, struct file_case *file_case);

/* All cases, one after the other: *at begins with 0. NULL: no more. */
struct file_case *cases_each(struct cases *cases, uint32_t *at);
/* Does this access wait for a case? */
bool cases_waits(const struct cases *cases, uint32_t slot);
struct file_case *cases_by_id(struct cases *cases, uint64_t id); /* NULL: ended */
uint32_t cases_count(const struct cases *cases);
uint32_t cases_waiting(const struct cases *cases); /* accesses */
/* When something is due by itself: a deadline, or a case that ripens. UINT64_MAX: nothing. */
uint64_t cases_due(const struct cases *cases);

bool generation_same(const struct generation *a, const struct generation *b);
bool generation_same_file(const struct generation *a, const struct generation *b);
uint64_t generation_hash(const struct generation *generation); /* of the file alone, not of its content */

#endif
