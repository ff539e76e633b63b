// SPDX-License-Identifier: GPL-2.0-only
#include "lineage.h"

#include <stdbool.h>
#include <stdlib.h>

static int by_pid(const void *first, const void *second)
{
	const struct running *a = first, *b = second;

	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static struct running *find(struct running *list, size_t count, int32_t pid)
{
	struct running key = {.pid = pid};

	return bsearch(&key, list, count, sizeof(*list), by_pid);
}

static uint32_t software_of(const struct running *process, const struct listed *programs, size_t count)
{
	uint32_t bits = 0;

	for (size_t i = 0; process->device && i < count; i++)
		if (programs[i].device == process->device && programs[i].inode == process->inode)
			bits |= 1u << programs[i].software;
	return bits;
}

/* Takes over what the parent has. true: something was new. */
static bool inherit(struct running *process, const struct running *parent, bool listed)
{
	struct hook_label label = process->label;

	label.flags |= parent->label.flags & HOOK_LABEL_MAIL;
	label.software |= parent->label.software;
	if (listed)
		label.flags |= parent->label.flags & HOOK_LABEL_SERVICE;
	if (label.flags == process->label.flags && label.software == process->label.software)
		return false;
	process->label = label;
	return true;
}

void lineage_label(struct running *list, size_t count, const struct listed *programs, size_t program_count)
{
	bool changed = true;

	qsort(list, count, sizeof(*list), by_pid);
	for (size_t i = 0; i < count; i++) {
		list[i].label = (struct hook_label){.software = software_of(&list[i], programs, program_count)};
		if (list[i].label.software)
			list[i].label.flags = HOOK_LABEL_MAIL | (list[i].uid == 0 ? HOOK_LABEL_SERVICE : 0);
	}
	/* A child's pid may be lower than its parent's, so until nothing changes: labels only grow. */
	while (changed) {
		changed = false;
		for (size_t i = 0; i < count; i++) {
			const struct running *parent = find(list, count, list[i].parent);
			if (parent && parent != &list[i] &&
			    inherit(&list[i], parent, software_of(&list[i], programs, program_count) != 0))
				changed = true;
		}
	}
}
