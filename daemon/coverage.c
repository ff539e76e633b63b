// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy in force, and what of it stands: one permission mark for each file system that holds a root, the kernel
 * side's orders, and ignore marks on what is outside for sure.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "frame.h"
#include "gate_state.h"

static void close_lasting(int *fds, uint32_t *count)
{
	while (*count > 0)
		close(fds[--*count]);
}

static void close_programs(struct program *programs, uint32_t *count)
{
	while (*count > 0)
		close(programs[--*count].fd);
}

void coverage_stage(struct gate *gate, const struct policy *policy)
{
	scope_clear(&gate->staged_scope);
	close_lasting(gate->staged_lasting, &gate->staged_lasting_count);
	close_programs(gate->staged_programs, &gate->staged_program_count);
	memset(gate->staged_without, 0, sizeof(gate->staged_without));
	gate->staged_policy = policy;
}

void coverage_root(struct gate *gate, int fd, uint32_t watch, uint32_t device)
{
	int result;

	if (!gate->staged_policy || watch >= gate->staged_policy->watch_count) {
		close(fd);
		return;
	}
	result = scope_add(&gate->staged_scope, fd, watch, device);
	if (result < 0)
		snprintf(gate->staged_without[watch], sizeof(gate->staged_without[watch]), "its folder: %s",
			 strerrordesc_np(-result));
}

void coverage_lasting(struct gate *gate, int fd)
{
	if (gate->staged_policy && gate->staged_lasting_count < LASTING_MAX)
		gate->staged_lasting[gate->staged_lasting_count++] = fd;
	else
		close(fd);
}

void coverage_program(struct gate *gate, int fd, uint32_t software, uint32_t device)
{
	if (gate->kernel && gate->staged_policy && software < gate->staged_policy->mail_software_count &&
	    gate->staged_program_count < PROGRAMS_MAX)
		gate->staged_programs[gate->staged_program_count++] =
			(struct program){.fd = fd, .software = software, .device = device};
	else
		close(fd);
}

void coverage_without(struct gate *gate, uint32_t watch, const char *why)
{
	if (gate->staged_policy && watch < gate->staged_policy->watch_count)
		snprintf(gate->staged_without[watch], sizeof(gate->staged_without[watch]), "%s", why);
}

const struct file_system *coverage_of(const struct gate *gate, uint64_t dev)
{
	for (uint32_t i = 0; i < gate->file_system_count; i++)
		if (gate->file_systems[i].dev == dev)
			return &gate->file_systems[i];
	return NULL;
}

static bool is_watched(const struct gate *gate, uint64_t dev)
{
	for (uint32_t i = 0; i < gate->scope.count; i++)
		if (gate->scope.roots[i].dev == dev &&
		    gate->policy->watches[gate->scope.roots[i].watch].mode != MODE_OFF)
			return true;
	return false;
}

static bool ignore_marks_wanted(const struct gate *gate, uint64_t dev)
{
	for (uint32_t i = 0; i < gate->scope.count; i++)
		if (gate->scope.roots[i].dev == dev && !gate->policy->watches[gate->scope.roots[i].watch].ignore_marks)
			return false;
	return true;
}

/* The strictest watch with origin = mail on a file system, -1: none. */
static int mail_watch_on(const struct gate *gate, uint64_t dev)
{
	uint64_t candidates = 0;

	for (uint32_t i = 0; i < gate->scope.count; i++) {
		const struct policy_watch *watch = &gate->policy->watches[gate->scope.roots[i].watch];
		if (gate->scope.roots[i].dev == dev && watch->origin_mail && watch->mode != MODE_OFF)
			candidates |= (uint64_t)1 << gate->scope.roots[i].watch;
	}
	return policy_strictest(gate->policy, candidates);
}

static void mark(struct gate *gate, uint32_t root)
{
	struct file_system *file_system = &gate->file_systems[gate->file_system_count++];
	int fd = gate->scope.roots[root].fd, result;

	*file_system = (struct file_system){.dev = gate->scope.roots[root].dev,
					    .root = root,
					    .counted = !scope_changes_unseen(gate->scope.roots[root].magic),
					    .mail_watch = mail_watch_on(gate, gate->scope.roots[root].dev)};
	file_system->marks_origins = file_system->mail_watch >= 0 && !scope_is_remote(gate->scope.roots[root].magic) &&
				     origins_read(fd) != ORIGIN_SAID_NEVER;
	result = moves_watch(gate->moves, fd);
	file_system->ignore = result == 0 && ignore_marks_wanted(gate, file_system->dev);
	fresh_watch(gate->fresh, fd);
	result = accesses_watch(gate->accesses, fd, true);
	if (result < 0)
		result = accesses_watch(gate->accesses, fd, false);
	file_system->asked = result == 0;
	if (result < 0)
		snprintf(file_system->why, sizeof(file_system->why), "the kernel refuses the permission mark: %s",
			 strerrordesc_np(-result));
}

static void unmark(struct gate *gate, const struct scope *scope, const struct file_system *file_system)
{
	int fd = scope->roots[file_system->root].fd;

	accesses_unwatch(gate->accesses, fd);
	fresh_unwatch(gate->fresh, fd);
	moves_unwatch(gate->moves, fd);
}

static void forget_ignored(struct gate *gate)
{
	accesses_unignore_all(gate->accesses);
	for (uint32_t i = 0; i < gate->lasting_count; i++)
		accesses_ignore_for_good(gate->accesses, gate->lasting[i]);
	memset(gate->ignored, 0, sizeof(gate->ignored));
	gate->ignored_count = 0;
}

/* Which watch of the new policy an old one has become: the one with the same path. UINT32_MAX: none. */
static void map_watches(const struct policy *old, const struct policy *new, uint32_t map[WATCHES_MAX])
{
	for (uint32_t i = 0; i < WATCHES_MAX; i++) {
		map[i] = UINT32_MAX;
		for (uint32_t j = 0; i < old->watch_count && j < new->watch_count; j++)
			if (strcmp(old->watches[i].path, new->watches[j].path) == 0)
				map[i] = j;
	}
}

/* A folder of the quarantine belongs to a watch of its file system: who had a file open when it was moved there reads
 * no more of it. */
static void order_set_apart(struct gate *gate)
{
	struct stat folder;

	for (uint32_t i = 0; i < gate->set_apart_count; i++) {
		const struct scope_root *found = NULL;
		if (fstat(gate->set_apart[i], &folder) < 0)
			continue;
		for (uint32_t j = 0; j < gate->scope.count; j++) {
			const struct scope_root *root = &gate->scope.roots[j];
			const struct policy_watch *watch = &gate->policy->watches[root->watch];
			if (root->dev == folder.st_dev && watch->mode == MODE_ENFORCE && !watch->origin_mail &&
			    store_may_hold((enum store)watch->store) && (!found || root->watch < found->watch))
				found = root;
		}
		if (found)
			kernel_memory_folder(gate->kernel, found->device, folder.st_ino, found->watch);
	}
}

/* Opens of what is new wait in the queue by now: no read finds a watch that nobody could answer for. */
void coverage_order(struct gate *gate)
{
	int result;

	kernel_memory_begin(gate->kernel);
	for (uint32_t i = 0; i < gate->scope.count; i++) {
		const struct scope_root *root = &gate->scope.roots[i];
		kernel_memory_folder(gate->kernel, root->device, root->ino, root->watch);
	}
	order_set_apart(gate);
	for (uint32_t i = 0; i < gate->program_count; i++) {
		const struct program *program = &gate->programs[i];
		struct stat file;
		uint32_t device = program->device;
		if (fstat(program->fd, &file) < 0)
			continue;
		if (!device)
			device = (uint32_t)(major(file.st_dev) << 20 | minor(file.st_dev));
		kernel_memory_program(gate->kernel, device, file.st_ino, program->software);
	}
	result = kernel_memory_commit(gate->kernel, gate->policy);
	gate->kernel_why[0] = 0;
	if (result < 0)
		snprintf(gate->kernel_why, sizeof(gate->kernel_why), "the kernel side has no room for all of it: %s",
			 strerrordesc_np(-result));
}

void coverage_commit(struct gate *gate)
{
	uint32_t map[WATCHES_MAX];
	static struct scope old;
	static struct file_system old_systems[ROOTS_MAX];
	const struct policy *old_policy = gate->policy;
	uint32_t old_count = gate->file_system_count;

	if (!gate->staged_policy)
		return;
	telling_refusals(gate); /* under the policy by which they were refused */
	old = gate->scope;
	memcpy(old_systems, gate->file_systems, sizeof(old_systems));
	gate->scope = gate->staged_scope;
	gate->staged_scope.count = 0;
	close_lasting(gate->lasting, &gate->lasting_count);
	memcpy(gate->lasting, gate->staged_lasting, sizeof(gate->lasting));
	gate->lasting_count = gate->staged_lasting_count;
	gate->staged_lasting_count = 0;
	close_programs(gate->programs, &gate->program_count);
	memcpy(gate->programs, gate->staged_programs, sizeof(gate->programs));
	gate->program_count = gate->staged_program_count;
	gate->staged_program_count = 0;
	/* Those of a predecessor, whose table is gone, too. Not before this point: a successor that died without them
	 * could not be executed again where the programs themselves lie on a marked file system. */
	forget_ignored(gate);
	gate->policy = gate->staged_policy;
	gate->staged_policy = NULL;
	memcpy(gate->without, gate->staged_without, sizeof(gate->without));
	gate->file_system_count = 0;
	for (uint32_t i = 0; i < gate->scope.count; i++)
		if (!coverage_of(gate, gate->scope.roots[i].dev) && is_watched(gate, gate->scope.roots[i].dev))
			mark(gate, i);
	coverage_order(gate);
	for (uint32_t i = 0; i < old_count; i++)
		if (!coverage_of(gate, old_systems[i].dev))
			unmark(gate, &old, &old_systems[i]);
	scope_clear(&old);
	if (old_policy) {
		map_watches(old_policy, gate->policy, map);
		door_policy_changed(gate, map);
		munmap((void *)old_policy, sizeof(*old_policy));
	}
	coverage_forget_places(gate, true);
	showing_publish(gate);
}

/* One of the files that never raise a question, or a program of mail software, was replaced, as upgrades do: its
 * successor is to be found. */
static bool file_replaced(const struct gate *gate)
{
	struct stat file;

	for (uint32_t i = 0; i < gate->lasting_count; i++)
		if (fstat(gate->lasting[i], &file) == 0 && file.st_nlink == 0)
			return true;
	for (uint32_t i = 0; i < gate->program_count; i++)
		if (fstat(gate->programs[i].fd, &file) == 0 && file.st_nlink == 0)
			return true;
	return false;
}

void coverage_refresh(struct gate *gate, int leash)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = LEASH_MISSING};

	if (!gate->policy)
		return;
	if (file_replaced(gate))
		frame_send(leash, &frame, sizeof(frame), -1);
	if (scope_refresh(&gate->scope))
		coverage_forget_places(gate, true);
	else if (!gate->roots_changed && (!gate->origins || gate->unmarked == origins_failed(gate->origins)))
		return;
	gate->roots_changed = false;
	gate->unmarked = gate->origins ? origins_failed(gate->origins) : 0;
	showing_publish(gate);
	for (uint32_t i = 0; i < gate->scope.count; i++)
		if (gate->scope.roots[i].gone) {
			frame.value = gate->scope.roots[i].watch;
			frame_send(leash, &frame, sizeof(frame), -1);
		}
}

/* The table of marked files: open addressing, never more than three quarters full. Only hashes: a false hit takes a
 * mark back that would have been right. */
static uint64_t *ignored_place(struct gate *gate, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & (IGNORED_MAX - 1);

	while (gate->ignored[at] && gate->ignored[at] != hash)
		at = (at + 1) & (IGNORED_MAX - 1);
	return &gate->ignored[at];
}

void coverage_ignore(struct gate *gate, int fd, const struct sight *sight)
{
	const struct file_system *file_system = coverage_of(gate, sight->generation.dev);
	uint64_t hash = generation_hash(&sight->generation) | 1;
	uint64_t *place;

	if (!file_system || !file_system->ignore || !sight->certain)
		return;
	if (gate->ignored_count >= IGNORED_MAX / 4 * 3)
		forget_ignored(gate);
	place = ignored_place(gate, hash);
	if (!*place) {
		*place = hash;
		gate->ignored_count++;
	}
	accesses_ignore(gate->accesses, fd);
}

void coverage_by_handle(struct gate *gate, const struct generation *file, void (*each)(struct gate *gate, int fd))
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room;

	room.head.handle_bytes = file->handle_size;
	room.head.handle_type = file->handle_type;
	memcpy(room.head.f_handle, file->handle, file->handle_size);
	for (uint32_t i = 0; i < gate->file_system_count; i++) {
		int mount = gate->scope.roots[gate->file_systems[i].root].fd;
		int fd = open_by_handle_at(mount, &room.head, O_PATH | O_CLOEXEC);
		if (fd < 0)
			continue;
		each(gate, fd);
		close(fd);
	}
}

static void unignore(struct gate *gate, int fd)
{
	accesses_unignore(gate->accesses, fd);
}

/* The file got another name: if it has an ignore mark from the time when it lay outside, that goes. It stays in the
 * table: another open outside may set the mark again. */
void coverage_name_news(struct gate *gate, const struct generation *file)
{
	if (!*ignored_place(gate, generation_hash(file) | 1))
		return;
	coverage_by_handle(gate, file, unignore);
	count(&gate->status->flushes);
}

void coverage_forget_places(struct gate *gate, bool marks)
{
	gate->epoch++;
	kernel_memory_forget_places(gate->kernel);
	if (marks && gate->ignored_count)
		forget_ignored(gate);
	if (marks)
		count(&gate->status->flushes);
	if (scope_refresh(&gate->scope))
		gate->roots_changed = true;
}
