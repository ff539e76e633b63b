/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose scan is next: readers who wait, then fresh files, then what is judged again after new definitions, then sweeps;
 * within a rank the first that came (who wants the newest mail first sends it first). Intrusive, without allocation.
 */
#ifndef MAILWARD_QUEUE_H
#define MAILWARD_QUEUE_H

#include <stdbool.h>

enum rank { RANK_READER = 0, RANK_FRESH, RANK_RECHECK, RANK_SWEEP, RANKS };

/* Nobody waits for it, and nobody will soon: idle workers do it. */
static inline bool rank_is_background(enum rank rank)
{
	return rank >= RANK_RECHECK;
}

struct queue_link {
	struct queue_link *before, *after; /* NULL, NULL: in no queue */
};

struct queue {
	struct queue_link ranks[RANKS]; /* heads of rings */
};

void queue_open(struct queue *queue);
void queue_add(struct queue *queue, struct queue_link *link, enum rank rank); /* must be in no queue */
void queue_remove(struct queue_link *link);                                   /* harmless where it is in none */
bool queue_holds(const struct queue_link *link);
/* The first one from rank `from` to `last`. It stays in; NULL: there is none. */
struct queue_link *queue_first(const struct queue *queue, enum rank from, enum rank last);

#endif
