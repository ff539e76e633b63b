// SPDX-License-Identifier: GPL-2.0-only
/* Hash chains by file, a heap of deadlines, and the queue of those whose turn may come. Ripening cases all ripen after
 * about the same time, so a plain queue in order of arrival does for them. */
#include "cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 32768u /* a power of two */
#define NONE UINT32_MAX

struct waiter {
	uint64_t deadline_ns;
	uint32_t of; /* index of its case; NONE: waits for nothing */
	uint32_t before, after;
	uint32_t heap_at;
};

struct cases {
	struct queue ready[2]; /* to be hashed, to be scanned */
	struct queue ripening; /* RANK_READER only: in order of arrival */
	uint64_t next_id;
	uint32_t count, waiting;
	uint32_t free;
	uint32_t buckets[BUCKETS];
	uint32_t heap[SLOTS_MAX]; /* slots, by deadline */
	struct waiter waiters[SLOTS_MAX];
	struct file_case all[CASES_MAX];
};

bool generation_same_file(const struct generation *a, const struct generation *b)
{
	if (a->handle_type != b->handle_type || a->handle_size != b->handle_size ||
	    memcmp(a->handle, b->handle, sizeof(a->handle)) != 0)
		return false;
	/* News that come by handle alone have no numbers: they are meant for whoever has this handle. */
	return a->ino == 0 || b->ino == 0 || (a->dev == b->dev && a->ino == b->ino);
}

bool generation_same(const struct generation *a, const struct generation *b)
{
	return a->size == b->size && a->ctime_ns == b->ctime_ns && a->counted == b->counted &&
	       generation_same_file(a, b);
}

uint64_t generation_hash(const struct generation *generation)
{
	uint64_t hash = generation->handle_size ? 0 : generation->dev * 0x9e3779b97f4a7c15u ^ generation->ino;

	for (size_t i = 0; i + 8 <= sizeof(generation->handle); i += 8) {
		uint64_t word;
		memcpy(&word, generation->handle + i, sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
	}
	return hash;
}

int cases_open(struct cases **cases_out)
{
	struct cases *cases = calloc(1, sizeof(*cases));

	if (!cases)
		return -ENOMEM;
	queue_open(&cases->ready[0]);
	queue_open(&cases->ready[1]);
	queue_open(&cases->ripening);
	memset(cases->buckets, 0xff, sizeof(cases->buckets));
	for (uint32_t i = 0; i < SLOTS_MAX; i++)
		cases->waiters[i].of = NONE;
	for (uint32_t i = 0; i < CASES_MAX; i++)
		cases->all[i].next = i + 1 < CASES_MAX ? i + 1 : NONE;
	/* The identity holds the index in its low bits, so that a reply finds its case at once; the rest tells apart
	 * the uses of one place. */
	cases->next_id = CASES_MAX;
	*cases_out = cases;
	return 0;
}

void cases_close(struct cases **cases)
{
	free(*cases);
	*cases = NULL;
}

static uint32_t index_of(const struct cases *cases, const struct file_case *file_case)
{
	return (uint32_t)(file_case - cases->all);
}

static uint32_t *bucket_of(struct cases *cases, const struct generation *generation)
{
	return &cases->buckets[generation_hash(generation) & (BUCKETS - 1)];
}

static void chain(struct cases *cases, struct file_case *file_case)
{
	uint32_t *bucket = bucket_of(cases, &file_case->generation);

	file_case->next = *bucket;
	*bucket = index_of(cases, file_case);
}

static void unchain(struct cases *cases, struct file_case *file_case)
{
	uint32_t *at = bucket_of(cases, &file_case->generation);

	while (*at != index_of(cases, file_case))
		at = &cases->all[*at].next;
	*at = file_case->next;
}

struct file_case *cases_find(struct cases *cases, const struct generation *generation)
{
	for (uint32_t at = *bucket_of(cases, generation); at != NONE; at = cases->all[at].next) {
		struct file_case *found = &cases->all[at];
		bool open = !(found->writer || found->unsettled || found->touched) || found->state <= CASE_READY;
		/* A later change time alone may be a rename: whoever judges finds out (`confirming`). */
		if (open && found->generation.size == generation->size &&
		    generation_same_file(&found->generation, generation))
			return found;
	}
	return NULL;
}

void cases_touch(struct cases *cases, const struct generation *file)
{
	for (uint32_t at = *bucket_of(cases, file); at != NONE; at = cases->all[at].next)
		if (generation_same_file(&cases->all[at].generation, file))
			cases->all[at].touched = true;
}

void cases_touch_all(struct cases *cases)
{
	for (uint32_t at = 0; at < CASES_MAX; at++)
		cases->all[at].touched = true;
}

enum rank cases_rank(const struct file_case *file_case)
{
	return file_case->first == NO_SLOT ? (enum rank)file_case->rank : RANK_READER;
}

/* Puts a case that is in no queue where it waits for its turn. */
static void line_up(struct cases *cases, struct file_case *file_case, uint64_t now, uint64_t ripe_ns)
{
	file_case->ripe_ns = ripe_ns;
	if (ripe_ns > now) {
		file_case->state = CASE_RIPENING;
		queue_add(&cases->ripening, &file_case->link, RANK_READER);
	} else {
		file_case->state = CASE_READY;
		queue_add(&cases->ready[file_case->hashed], &file_case->link, cases_rank(file_case));
	}
}

struct file_case *cases_begin(struct cases *cases, const struct generation *generation, int fd, uint32_t watch,
			      uint64_t now, uint64_t ripe_ns, enum rank rank)
{
	struct file_case *begun;
	uint32_t at = cases->free;

	if (at == NONE)
		return NULL;
	begun = &cases->all[at];
	cases->free = begun->next;
	*begun = (struct file_case){.generation = *generation,
				    .id = cases->next_id | at,
				    .begun_ns = now,
				    .first = NO_SLOT,
				    .last = NO_SLOT,
				    .watch = watch,
				    .rank = (uint8_t)rank,
				    .fd = fd};
	cases->next_id += CASES_MAX;
	chain(cases, begun);
	line_up(cases, begun, now, ripe_ns);
	cases->count++;
	return begun;
}

void cases_raise(struct cases *cases, struct file_case *file_case, enum rank rank)
{
	if (rank >= cases_rank(file_case))
		return;
	file_case->rank = (uint8_t)rank;
	if (file_case->state != CASE_READY)
		return;
	queue_remove(&file_case->link);
	queue_add(&cases->ready[file_case->hashed], &file_case->link, rank);
}

static void heap_set(struct cases *cases, uint32_t at, uint32_t slot)
{
	cases->heap[at] = slot;
	cases->waiters[slot].heap_at = at;
}

static uint64_t heap_key(const struct cases *cases, uint32_t at)
{
	return cases->waiters[cases->heap[at]].deadline_ns;
}

static void heap_swap(struct cases *cases, uint32_t a, uint32_t b)
{
	uint32_t slot = cases->heap[a];

	heap_set(cases, a, cases->heap[b]);
	heap_set(cases, b, slot);
}

static void heap_settle(struct cases *cases, uint32_t at)
{
	while (at > 0 && heap_key(cases, at) < heap_key(cases, (at - 1) / 2)) {
		heap_swap(cases, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t least = at, left = 2 * at + 1, right = left + 1;
		if (left < cases->waiting && heap_key(cases, left) < heap_key(cases, least))
			least = left;
		if (right < cases->waiting && heap_key(cases, right) < heap_key(cases, least))
			least = right;
		if (least == at)
			return;
		heap_swap(cases, at, least);
		at = least;
	}
}

void cases_join(struct cases *cases, struct file_case *file_case, uint32_t slot, uint64_t deadline_ns)
{
	struct waiter *waiter = &cases->waiters[slot];

	*waiter = (struct waiter){.deadline_ns = deadline_ns,
				  .of = index_of(cases, file_case),
				  .before = file_case->last,
				  .after = NO_SLOT};
	if (file_case->last == NO_SLOT)
		file_case->first = slot;
	else
		cases->waiters[file_case->last].after = slot;
	file_case->last = slot;
	heap_set(cases, cases->waiting++, slot);
	heap_settle(cases, waiter->heap_at);
	/* A reader waits now for what was only being fetched ahead. */
	if (file_case->state == CASE_READY && file_case->first == slot) {
		queue_remove(&file_case->link);
		queue_add(&cases->ready[file_case->hashed], &file_case->link, RANK_READER);
	}
}

bool cases_forget(struct cases *cases, uint32_t slot)
{
	struct waiter *waiter = &cases->waiters[slot];
	struct file_case *file_case;
	uint32_t hole;

	if (waiter->of == NONE)
		return false;
	file_case = &cases->all[waiter->of];
	if (waiter->before == NO_SLOT)
		file_case->first = waiter->after;
	else
		cases->waiters[waiter->before].after = waiter->after;
	if (waiter->after == NO_SLOT)
		file_case->last = waiter->before;
	else
		cases->waiters[waiter->after].before = waiter->before;
	hole = waiter->heap_at;
	cases->waiting--;
	if (hole != cases->waiting) {
		heap_set(cases, hole, cases->heap[cases->waiting]);
		heap_settle(cases, hole);
	}
	waiter->of = NONE;
	return true;
}

uint32_t cases_expire(struct cases *cases, uint64_t now)
{
	uint32_t slot;

	if (cases->waiting == 0 || heap_key(cases, 0) > now)
		return NO_SLOT;
	slot = cases->heap[0];
	cases_forget(cases, slot);
	return slot;
}

uint32_t cases_leave(struct cases *cases, struct file_case *file_case)
{
	uint32_t slot = file_case->first;

	if (slot != NO_SLOT)
		cases_forget(cases, slot);
	return slot;
}

static struct file_case *case_of_link(struct queue_link *link)
{
	return (struct file_case *)link; /* its first member */
}

struct file_case *cases_turn(struct cases *cases, uint64_t now, bool hashed, bool background)
{
	struct queue_link *link;

	while ((link = queue_first(&cases->ripening, RANK_READER, RANK_READER)) && case_of_link(link)->ripe_ns <= now) {
		queue_remove(link);
		line_up(cases, case_of_link(link), now, now);
	}
	link = background ? queue_first(&cases->ready[hashed], RANK_RECHECK, RANK_SWEEP)
			  : queue_first(&cases->ready[hashed], RANK_READER, RANK_FRESH);
	return link ? case_of_link(link) : NULL;
}

void cases_start(struct cases *cases, struct file_case *file_case, enum case_state state, uint64_t now)
{
	(void)cases;
	queue_remove(&file_case->link);
	file_case->state = (uint8_t)state;
	file_case->since_ns = now;
}

void cases_again(struct cases *cases, struct file_case *file_case, const struct generation *generation, uint64_t now,
		 uint64_t ripe_ns)
{
	queue_remove(&file_case->link);
	unchain(cases, file_case);
	file_case->generation = *generation;
	chain(cases, file_case);
	file_case->rounds++;
	line_up(cases, file_case, now, ripe_ns);
}

void cases_end(struct cases *cases, struct file_case *file_case)
{
	queue_remove(&file_case->link);
	unchain(cases, file_case);
	file_case->state = CASE_FREE;
	file_case->id = 0;
	file_case->fd = -1;
	file_case->next = cases->free;
	cases->free = index_of(cases, file_case);
	cases->count--;
}

struct file_case *cases_each(struct cases *cases, uint32_t *at)
{
	while (*at < CASES_MAX) {
		struct file_case *each = &cases->all[(*at)++];
		if (each->state != CASE_FREE)
			return each;
	}
	return NULL;
}

bool cases_waits(const struct cases *cases, uint32_t slot)
{
	return cases->waiters[slot].of != NONE;
}

struct file_case *cases_by_id(struct cases *cases, uint64_t id)
{
	struct file_case *found = &cases->all[id & (CASES_MAX - 1)];

	return found->state != CASE_FREE && found->id == id ? found : NULL;
}

uint32_t cases_count(const struct cases *cases)
{
	return cases->count;
}

uint32_t cases_waiting(const struct cases *cases)
{
	return cases->waiting;
}

uint64_t cases_due(const struct cases *cases)
{
	struct queue_link *link = queue_first(&cases->ripening, RANK_READER, RANK_READER);
	uint64_t due = cases->waiting ? heap_key(cases, 0) : UINT64_MAX;

	if (link && case_of_link(link)->ripe_ns < due)
		due = case_of_link(link)->ripe_ns;
	return due;
}
