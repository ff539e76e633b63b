// SPDX-License-Identifier: GPL-2.0-only
#include "regions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void add(struct regions *regions, uintptr_t start, uintptr_t end)
{
	if (start >= end)
		return;
	if (regions->count == REGIONS_MAX) {
		regions->count = REGIONS_MAX + 1; /* too many */
		return;
	}
	if (regions->count > REGIONS_MAX)
		return;
	regions->list[regions->count].start = start;
	regions->list[regions->count++].end = end;
}

static void settle(struct regions *regions)
{
	if (regions->count > REGIONS_MAX)
		regions->count = 0;
}

void regions_parse(struct regions *regions, const char *line)
{
	uintptr_t start, end;
	unsigned long inode;
	char flags[5];
	int name = 0;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %lu %n", &start, &end, flags, &inode, &name) != 4)
		return;
	if (!strcmp(flags, "rw-p") && inode == 0 && (!name || line[name] == 0 || line[name] == '\n'))
		add(regions, start, end);
}

void regions_read(struct regions *regions)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];

	regions->count = 0;
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		regions_parse(regions, line);
	fclose(file);
	settle(regions);
}

/* Both are in order of their addresses, and nothing in one list overlaps. */
void regions_subtract(struct regions *regions, const struct regions *others)
{
	static struct regions left;

	left.count = 0;
	for (unsigned i = 0; i < regions->count; i++) {
		uintptr_t start = regions->list[i].start, end = regions->list[i].end;
		for (unsigned j = 0; j < others->count && start < end; j++) {
			if (others->list[j].end <= start || others->list[j].start >= end)
				continue;
			if (others->list[j].start > start)
				add(&left, start, others->list[j].start);
			start = others->list[j].end;
		}
		add(&left, start, end);
	}
	settle(&left);
	*regions = left;
}

void regions_inherit(const struct regions *regions, bool inherited)
{
	for (unsigned i = 0; i < regions->count; i++)
		madvise((void *)regions->list[i].start, regions->list[i].end - regions->list[i].start,
			inherited ? MADV_DOFORK : MADV_DONTFORK);
}
