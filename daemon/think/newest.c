// SPDX-License-Identifier: GPL-2.0-only
#include "newest.h"

#include <stdlib.h>
#include <string.h>

static void swap(struct newest_file *a, struct newest_file *b)
{
	struct newest_file kept = *a;

	*a = *b;
	*b = kept;
}

static void sink(struct newest *newest, uint32_t at)
{
	for (;;) {
		uint32_t least = at, left = 2 * at + 1, right = left + 1;
		if (left < newest->count && newest->list[left].time_ns < newest->list[least].time_ns)
			least = left;
		if (right < newest->count && newest->list[right].time_ns < newest->list[least].time_ns)
			least = right;
		if (least == at)
			return;
		swap(&newest->list[at], &newest->list[least]);
		at = least;
	}
}

static void rise(struct newest *newest, uint32_t at)
{
	for (; at > 0 && newest->list[at].time_ns < newest->list[(at - 1) / 2].time_ns; at = (at - 1) / 2)
		swap(&newest->list[at], &newest->list[(at - 1) / 2]);
}

void newest_clear(struct newest *newest)
{
	for (uint32_t i = newest->next; i < newest->count; i++)
		free(newest->list[i].path);
	newest->count = newest->next = 0;
	newest->others = false;
	newest->untold_ns = 0;
}

bool newest_wants(struct newest *newest, int64_t time_ns)
{
	bool wanted = newest->count < NEWEST_MOST || time_ns > newest->list[0].time_ns;

	newest->others = newest->others || !wanted;
	return wanted;
}

void newest_add(struct newest *newest, int64_t time_ns, uint32_t root, const char *path)
{
	char *copy = path ? strdup(path) : NULL;

	if (!copy) {
		newest->others = true;
		if (time_ns > newest->untold_ns)
			newest->untold_ns = time_ns;
		return;
	}
	if (newest->count == NEWEST_MOST) {
		newest->others = true;
		free(newest->list[0].path);
		newest->list[0] = (struct newest_file){.time_ns = time_ns, .root = root, .path = copy};
		sink(newest, 0);
		return;
	}
	newest->list[newest->count] = (struct newest_file){.time_ns = time_ns, .root = root, .path = copy};
	rise(newest, newest->count++);
}

static int by_age(const void *left, const void *right)
{
	const struct newest_file *a = left, *b = right;

	return (a->time_ns < b->time_ns) - (a->time_ns > b->time_ns);
}

int64_t newest_sort(struct newest *newest)
{
	int64_t oldest = newest->count ? newest->list[0].time_ns : 0;

	qsort(newest->list, newest->count, sizeof(newest->list[0]), by_age);
	return oldest > newest->untold_ns ? oldest : newest->untold_ns;
}

bool newest_take(struct newest *newest, struct newest_file *out)
{
	if (newest->next == newest->count)
		return false;
	*out = newest->list[newest->next++];
	return true;
}
