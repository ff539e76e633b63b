// SPDX-License-Identifier: GPL-2.0-only
/* What status says of each watch: is it covered, and if not wholly, why. */
#include <linux/magic.h>
#include <stdio.h>

#include "gate_state.h"

static const struct scope_root *first_root(const struct gate *gate, uint32_t watch)
{
	for (uint32_t i = 0; i < gate->scope.count; i++)
		if (gate->scope.roots[i].watch == watch)
			return &gate->scope.roots[i];
	return NULL;
}

/* What of a watch that is covered the kernel side cannot see or do; NULL: nothing. */
static const char *lacks(const struct gate *gate, const struct policy_watch *watch,
			 const struct file_system *file_system, uint32_t magic)
{
	if (watch->origin_mail && !gate->kernel)
		return "origin = mail: nobody knows here which files mail software writes; those marked earlier are "
		       "guarded";
	if (watch->origin_mail && !file_system->marks_origins)
		return "origin = mail: this file system cannot keep the mark (trusted attributes); it is forgotten "
		       "with the cache";
	if (watch->origin_mail && !kernel_memory_full(gate->kernel))
		return "origin = mail: reduced mode knows a file of mail software only once it is closed and marked";
	if (watch->origin_mail && gate->unmarked)
		return "origin = mail: some files of mail software could not be marked; they are known until the cache "
		       "forgets";
	if (!kernel_memory_full(gate->kernel))
		return NULL;
	if (gate->kernel_why[0])
		return gate->kernel_why;
	if (scope_is_remote(magic))
		return "files can change on the server, which the kernel side here does not see";
	if (magic == OVERLAYFS_SUPER_MAGIC)
		return "overlay: a change made directly in one of its layers is not seen; no approval lasts there; "
		       "without a daemon it holds until the cache forgets the folder";
	return NULL;
}

static void describe_kernel(const struct gate *gate, const struct policy_watch *watch,
			    const struct file_system *file_system, uint32_t magic, struct watch_entry *entry)
{
	const char *why = lacks(gate, watch, file_system, magic);

	entry->hooks = kernel_memory_full(gate->kernel) && !gate->kernel_why[0];
	if (!why || entry->covered != COVERED_YES)
		return;
	entry->covered = COVERED_PARTLY;
	snprintf(entry->why, sizeof(entry->why), "%s", why);
}

/* A watch is covered where each of its roots still has its name and its file system is marked. */
static void describe(const struct gate *gate, uint32_t index, struct watch_entry *entry)
{
	const struct policy_watch *watch = &gate->policy->watches[index];
	const struct scope_root *root = first_root(gate, index);
	char room[32];

	/* Where something is said of it, its folder or a part of it is not there. */
	*entry = (struct watch_entry){
		.store = watch->store, .mode = watch->mode, .covered = root != NULL && !gate->without[index][0]};
	snprintf(entry->path, sizeof(entry->path), "%.1023s", watch->path);
	snprintf(entry->why, sizeof(entry->why), "%s",
		 gate->without[index][0] || root ? gate->without[index] : "its folder does not exist");
	if (!root)
		return;
	snprintf(entry->file_system, sizeof(entry->file_system), "%s", scope_file_system(root, room, sizeof(room)));
	for (uint32_t i = 0; i < gate->scope.count; i++) {
		const struct scope_root *each = &gate->scope.roots[i];
		const struct file_system *file_system = coverage_of(gate, each->dev);
		if (each->watch != index)
			continue;
		if (each->gone) {
			entry->covered = 0;
			snprintf(entry->why, sizeof(entry->why), "its folder was moved or removed");
		} else if (watch->mode != MODE_OFF && (!file_system || !file_system->asked)) {
			entry->covered = 0;
			snprintf(entry->why, sizeof(entry->why), "%s", file_system ? file_system->why : "not marked");
		} else if (file_system) {
			entry->marks = file_system->ignore;
			entry->marked = file_system->asked;
			describe_kernel(gate, watch, file_system, each->magic, entry);
		}
	}
	if (watch->mode == MODE_OFF) {
		entry->covered = 0;
		snprintf(entry->why, sizeof(entry->why), "mode = off");
	}
}

void showing_publish(struct gate *gate)
{
	struct gate_part *status = gate->status;

	__atomic_add_fetch(&status->turn, 1, __ATOMIC_ACQ_REL);
	status->watch_count = gate->policy->watch_count;
	for (uint32_t i = 0; i < gate->policy->watch_count; i++)
		describe(gate, i, &status->watches[i]);
	__atomic_add_fetch(&status->turn, 1, __ATOMIC_ACQ_REL);
	__atomic_store_n(&status->marks_stand, 1, __ATOMIC_RELEASE);
}
