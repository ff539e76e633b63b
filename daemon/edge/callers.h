/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RUNTIME/keeper.sock: programs that ask for the status page, a reload or a selftest. They may be hostile: at most 64
 * at a time, 2 s for each to say what it wants, one request, and nobody waits for them to read the answer.
 */
#ifndef MAILWARD_CALLERS_H
#define MAILWARD_CALLERS_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "wire.h"

#define CALLERS_MAX 64
#define CALLER_TIME_NS 2000000000ull

struct callers;
struct caller {
	struct callers *callers;
	struct loop_handler handler; /* fd -1: free */
	uint64_t until_ns;           /* it is closed then; 0: it waits for a reload or a selftest */
	uint32_t verb;               /* which */
	uint64_t round;              /* of those, the one that answers it */
};

struct callers {
	struct loop *loop;
	struct loop_handler listener;
	bool full;
	int status_page;                   /* read-only; borrowed */
	uint64_t (*reload)(void *owner);   /* asks for one; returns the round that will answer */
	uint64_t (*selftest)(void *owner); /* the same */
	void *owner;
	int most; /* of CALLERS_MAX */
	struct caller all[CALLERS_MAX];
};

/* The caller has set status_page, reload, selftest, owner and most. listener is borrowed. 0 or -errno. */
int callers_open(struct callers *callers, struct loop *loop, int listener);
/* Closes those whose time is up. */
void callers_tick(struct callers *callers, uint64_t now);
/* Sends the replies (their count of them, the last with more = 0) to who waits for this round of their verb, or an
 * earlier one. */
void callers_answer(struct callers *callers, uint64_t round, const struct keeper_reply *replies, int count);

#endif
