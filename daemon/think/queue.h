/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose scan is next: readers who wait, then fresh files; within a rank the oldest first. Intrusive, without
 * allocation.
 */
#ifndef MAILWARD_QUEUE_H
#define MAILWARD_QUEUE_H

#include <stdbool.h>

enum rank { RANK_READER = 0, RANK_FRESH, RANKS };

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
struct queue_link *queue_first(const struct queue *queue); /* stays in; NULL: empty */

#endif
