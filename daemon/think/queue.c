// SPDX-License-Identifier: GPL-2.0-only
#include "queue.h"

#include <stddef.h>

void queue_open(struct queue *queue)
{
	for (int rank = 0; rank < RANKS; rank++)
		queue->ranks[rank].before = queue->ranks[rank].after = &queue->ranks[rank];
}

void queue_add(struct queue *queue, struct queue_link *link, enum rank rank)
{
	struct queue_link *head = &queue->ranks[rank];

	link->before = head->before;
	link->after = head;
	head->before->after = link;
	head->before = link;
}

void queue_remove(struct queue_link *link)
{
	if (!queue_holds(link))
		return;
	link->before->after = link->after;
	link->after->before = link->before;
	link->before = link->after = NULL;
}

bool queue_holds(const struct queue_link *link)
{
	return link->after != NULL;
}

struct queue_link *queue_first(const struct queue *queue, enum rank from, enum rank last)
{
	for (enum rank rank = from; rank <= last; rank++)
		if (queue->ranks[rank].after != &queue->ranks[rank])
			return queue->ranks[rank].after;
	return NULL;
}
