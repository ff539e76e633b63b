// SPDX-License-Identifier: GPL-2.0-only
#include "kernel_memory.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "wire.h"

#define FOLDERS_MAX ROOTS_MAX
#define PROGRAMS_MAX (MAIL_SOFTWARE_MAX * MAIL_ROOTS_MAX)
#define KEYS_MAX 4096 /* of one map, looked through for what is gone: more than any of them holds */

struct folder {
	struct hook_inode inode;
	uint32_t watch;
};
struct program {
	struct hook_inode inode;
	uint32_t software; /* bits */
};

struct kernel_memory {
	int maps[HOOK_MAPS]; /* -1: not there */
	uint64_t session;
	uint64_t words;      /* identity of the policy in force; 0: none yet */
	uint64_t allowances; /* identity of the allow list */
	struct hook_orders *orders;
	const struct hook_state *state;
	struct ring_buffer *ring;
	struct hook_refusal refusal; /* the one that was just taken out */
	bool taken;
	int staged_error;
	uint32_t folder_count, program_count, system_count;
	struct folder folders[FOLDERS_MAX];
	struct program programs[PROGRAMS_MAX];
	uint32_t systems[FOLDERS_MAX];
};

/* ---- taking over ---- */

static const uint32_t value_sizes[HOOK_MAPS] = {
	[HOOK_GENERATIONS] = sizeof(struct hook_generation),
	[HOOK_VERDICTS] = sizeof(struct hook_verdict),
	[HOOK_LABELS] = sizeof(struct hook_label),
	[HOOK_ORIGINS] = sizeof(struct hook_origin),
	[HOOK_LEAVERS] = sizeof(struct hook_label),
	[HOOK_FOLDERS] = sizeof(struct hook_folder),
	[HOOK_SYSTEMS] = sizeof(uint32_t),
	[HOOK_PROGRAMS] = sizeof(struct hook_label),
	[HOOK_ORDERS] = sizeof(struct hook_orders),
	[HOOK_STATE] = sizeof(struct hook_state),
	[HOOK_REFUSALS] = 0,
};

/* Is it a map, and one whose values have the size that we would read and write? */
static int check_map(int fd, enum hook_map which)
{
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	return info.value_size == value_sizes[which] ? 0 : -EBADF;
}

static int take_maps(struct kernel_memory *memory, bool *any_out)
{
	*any_out = false;
	for (int i = 0; i < HOOK_MAPS; i++) {
		int fd = FD_HOOKS + i, result;
		memory->maps[i] = -1;
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		result = check_map(fd, (enum hook_map)i);
		if (result < 0)
			return result;
		memory->maps[i] = fd;
		*any_out = true;
	}
	return 0;
}

static int map_page(int fd, size_t size, int protection, void **page_out)
{
	void *page;

	if (fd < 0)
		return 0;
	page = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	*page_out = page;
	return 0;
}

/* Called for one record; anything but "stop" would take the next one out, too. */
static int take_refusal(void *owner, void *record, size_t size)
{
	struct kernel_memory *memory = owner;

	if (size > sizeof(memory->refusal))
		size = sizeof(memory->refusal);
	memset(&memory->refusal, 0, sizeof(memory->refusal));
	memcpy(&memory->refusal, record, size);
	memory->taken = size >= offsetof(struct hook_refusal, path);
	return memory->taken ? -ECANCELED : 0;
}

static int take_ring(struct kernel_memory *memory)
{
	int fd = memory->maps[HOOK_REFUSALS];

	if (fd < 0)
		return 0;
	libbpf_set_print(NULL);
	memory->ring = ring_buffer__new(fd, take_refusal, memory, NULL);
	return memory->ring ? 0 : -errno;
}

static int label_ourselves(const struct kernel_memory *memory)
{
	struct hook_label label = {.flags = HOOK_LABEL_OWN | HOOK_LABEL_GATE};
	int pidfd, result = 0;

	if (memory->maps[HOOK_LABELS] < 0)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd < 0)
		return -errno;
	if (bpf_map_update_elem(memory->maps[HOOK_LABELS], &pidfd, &label, BPF_ANY) < 0)
		result = -errno;
	close(pidfd);
	return result;
}

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int kernel_memory_open(struct kernel_memory **memory_out)
{
	struct kernel_memory *memory = calloc(1, sizeof(*memory));
	bool any;
	int result;

	*memory_out = NULL;
	if (!memory)
		return -ENOMEM;
	result = take_maps(memory, &any);
	if (result == 0 && !any) {
		free(memory);
		return 0;
	}
	if (result == 0)
		result = map_page(memory->maps[HOOK_ORDERS], sizeof(*memory->orders), PROT_READ | PROT_WRITE,
				  (void **)&memory->orders);
	if (result == 0)
		result = map_page(memory->maps[HOOK_STATE], sizeof(*memory->state), PROT_READ, (void **)&memory->state);
	if (result == 0)
		result = take_ring(memory);
	if (result == 0)
		result = label_ourselves(memory);
	memory->session = boot_ns();
	*memory_out = memory;
	if (result < 0)
		kernel_memory_close(memory_out);
	return result;
}

void kernel_memory_close(struct kernel_memory **memory)
{
	if (!*memory)
		return;
	ring_buffer__free((*memory)->ring);
	if ((*memory)->orders)
		munmap((*memory)->orders, sizeof(*(*memory)->orders));
	if ((*memory)->state)
		munmap((void *)(*memory)->state, sizeof(*(*memory)->state));
	free(*memory);
	*memory = NULL;
}

bool kernel_memory_full(const struct kernel_memory *memory)
{
	return memory && memory->maps[HOOK_GENERATIONS] >= 0 && memory->maps[HOOK_VERDICTS] >= 0 &&
	       memory->maps[HOOK_FOLDERS] >= 0 && memory->maps[HOOK_SYSTEMS] >= 0 && memory->orders && memory->state;
}

void kernel_memory_beat(struct kernel_memory *memory, uint64_t now)
{
	if (memory && memory->orders)
		__atomic_store_n(&memory->orders->heartbeat_ns, now, __ATOMIC_RELAXED);
}

void kernel_memory_leave(struct kernel_memory *memory)
{
	if (memory && memory->orders)
		__atomic_store_n(&memory->orders->session, 0, __ATOMIC_SEQ_CST);
}

/* ---- one file ---- */

static bool look(const struct kernel_memory *memory, enum hook_map map, const void *key, void *value)
{
	return bpf_map_lookup_elem(memory->maps[map], key, value) == 0;
}

static uint64_t place_epoch(const struct kernel_memory *memory)
{
	return memory->orders->epoch + __atomic_load_n(&memory->state->moves, __ATOMIC_RELAXED);
}

bool kernel_memory_generation(const struct kernel_memory *memory, int fd, struct hook_generation *generation_out)
{
	if (!kernel_memory_full(memory) || !look(memory, HOOK_GENERATIONS, &fd, generation_out) ||
	    generation_out->generation == 0)
		return false;
	if (generation_out->place_epoch != place_epoch(memory))
		generation_out->watch = HOOK_OUTSIDE;
	return true;
}

bool kernel_memory_verdict(const struct kernel_memory *memory, int fd, uint64_t generation,
			   struct hook_verdict *verdict_out)
{
	uint8_t origin;

	if (!kernel_memory_full(memory) || !look(memory, HOOK_VERDICTS, &fd, verdict_out)) {
		*verdict_out = (struct hook_verdict){0};
		return false;
	}
	if (generation != 0 && verdict_out->generation == generation && verdict_out->answer != ANSWER_NONE &&
	    (verdict_out->session == 0 || verdict_out->session == memory->session))
		return true;
	origin = verdict_out->origin;
	*verdict_out = (struct hook_verdict){.origin = origin};
	return false;
}

/* Whoever made the same answer of the same verdict at another time said the same. */
static bool same_verdict(const struct hook_verdict *a, struct hook_verdict b)
{
	b.judged_ns = a->judged_ns;
	return memcmp(a, &b, sizeof(b)) == 0;
}

int kernel_memory_keep(const struct kernel_memory *memory, int fd, const struct hook_verdict *verdict, bool provisional,
		       const struct hook_verdict *present)
{
	struct hook_verdict wanted, found = {0};

	if (!kernel_memory_full(memory))
		return -ENOENT;
	if (!present && look(memory, HOOK_VERDICTS, &fd, &found))
		present = &found;
	wanted = *verdict;
	wanted.session = provisional ? memory->session : 0;
	wanted.policy = memory->orders->policy;
	if (present) {
		wanted.origin |= present->origin;
		if (same_verdict(present, wanted))
			return 0;
	}
	return bpf_map_update_elem(memory->maps[HOOK_VERDICTS], &fd, &wanted, BPF_ANY) < 0 ? -errno : 0;
}

void kernel_memory_void(const struct kernel_memory *memory, int fd)
{
	struct hook_verdict found;

	if (!kernel_memory_full(memory) || !look(memory, HOOK_VERDICTS, &fd, &found))
		return;
	found = (struct hook_verdict){.origin = found.origin};
	bpf_map_update_elem(memory->maps[HOOK_VERDICTS], &fd, &found, BPF_EXIST);
}

int kernel_memory_origin(const struct kernel_memory *memory, int fd, uint8_t origin)
{
	struct hook_verdict verdict = {0};

	if (!kernel_memory_full(memory))
		return -ENOENT;
	if (look(memory, HOOK_VERDICTS, &fd, &verdict) && (verdict.origin & origin) == origin)
		return 0;
	verdict.origin |= origin;
	return bpf_map_update_elem(memory->maps[HOOK_VERDICTS], &fd, &verdict, BPF_ANY) < 0 ? -errno : 0;
}

static bool has_ended(int pidfd)
{
	struct pollfd process = {.fd = pidfd, .events = POLLIN};

	return poll(&process, 1, 0) == 1;
}

/* While it lives, or has not been waited for, what was noted under its number is of another. It may end, and be waited
 * for, between our two questions: who has ended without a label has nothing under its number any more. */
struct hook_label kernel_memory_label(const struct kernel_memory *memory, int32_t pid)
{
	static const struct hook_label none;
	struct hook_label label;
	uint32_t number = (uint32_t)pid;
	bool found, ended;
	int pidfd;

	if (!memory || pid <= 0)
		return none;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	found = pidfd >= 0 && memory->maps[HOOK_LABELS] >= 0 && look(memory, HOOK_LABELS, &pidfd, &label);
	ended = pidfd < 0 || (!found && has_ended(pidfd));
	if (pidfd >= 0)
		close(pidfd);
	if (!found && ended)
		found = memory->maps[HOOK_LEAVERS] >= 0 && look(memory, HOOK_LEAVERS, &number, &label);
	return found ? label : none;
}

/* ---- the policy in force ---- */

void kernel_memory_begin(struct kernel_memory *memory)
{
	if (!memory)
		return;
	memory->folder_count = memory->program_count = memory->system_count = 0;
	memory->staged_error = 0;
}

int kernel_memory_folder(struct kernel_memory *memory, uint32_t dev, uint64_t ino, uint32_t watch)
{
	if (!kernel_memory_full(memory))
		return -ENOENT;
	if (memory->folder_count == FOLDERS_MAX)
		return memory->staged_error = -ENOSPC;
	memory->folders[memory->folder_count++] = (struct folder){.inode = {.ino = ino, .dev = dev}, .watch = watch};
	return 0;
}

int kernel_memory_program(struct kernel_memory *memory, uint32_t dev, uint64_t ino, uint32_t software)
{
	uint32_t bit = software < 32 ? 1u << software : 0;

	if (!memory || memory->maps[HOOK_PROGRAMS] < 0)
		return -ENOENT;
	for (uint32_t i = 0; i < memory->program_count; i++)
		if (memory->programs[i].inode.dev == dev && memory->programs[i].inode.ino == ino) {
			memory->programs[i].software |= bit;
			return 0;
		}
	if (memory->program_count == PROGRAMS_MAX)
		return memory->staged_error = -ENOSPC;
	memory->programs[memory->program_count++] =
		(struct program){.inode = {.ino = ino, .dev = dev}, .software = bit};
	return 0;
}

static void put(struct kernel_memory *memory, enum hook_map map, const void *key, const void *value)
{
	if (bpf_map_update_elem(memory->maps[map], key, value, BPF_ANY) < 0 && !memory->staged_error)
		memory->staged_error = -errno;
}

static bool is_staged_folder(const struct kernel_memory *memory, const void *key)
{
	for (uint32_t i = 0; i < memory->folder_count; i++)
		if (memcmp(&memory->folders[i].inode, key, sizeof(struct hook_inode)) == 0)
			return true;
	return false;
}

static bool is_staged_program(const struct kernel_memory *memory, const void *key)
{
	for (uint32_t i = 0; i < memory->program_count; i++)
		if (memcmp(&memory->programs[i].inode, key, sizeof(struct hook_inode)) == 0)
			return true;
	return false;
}

static bool is_staged_system(const struct kernel_memory *memory, const void *key)
{
	for (uint32_t i = 0; i < memory->system_count; i++)
		if (memcmp(&memory->systems[i], key, sizeof(memory->systems[i])) == 0)
			return true;
	return false;
}

/* Watches that are off are folders too (they switch off a part of a larger one), but their file system is none of
 * ours. */
static void put_folders(struct kernel_memory *memory, const struct policy *policy)
{
	static const uint32_t one = 1;

	if (!kernel_memory_full(memory))
		return;
	for (uint32_t i = 0; i < memory->folder_count; i++) {
		const struct folder *folder = &memory->folders[i];
		struct hook_folder value = {.watch = folder->watch};
		put(memory, HOOK_FOLDERS, &folder->inode, &value);
		if (policy->watches[folder->watch].mode == MODE_OFF || is_staged_system(memory, &folder->inode.dev))
			continue;
		memory->systems[memory->system_count++] = folder->inode.dev;
		put(memory, HOOK_SYSTEMS, &folder->inode.dev, &one);
	}
}

static void put_programs(struct kernel_memory *memory)
{
	if (memory->maps[HOOK_PROGRAMS] < 0)
		return;
	for (uint32_t i = 0; i < memory->program_count; i++) {
		struct hook_label value = {.software = memory->programs[i].software};
		put(memory, HOOK_PROGRAMS, &memory->programs[i].inode, &value);
	}
}

static void remove_others(struct kernel_memory *memory, enum hook_map map,
			  bool (*is_staged)(const struct kernel_memory *, const void *))
{
	union {
		struct hook_inode inode;
		uint32_t dev;
	} key, next;
	bool more;

	if (memory->maps[map] < 0)
		return;
	more = bpf_map_get_next_key(memory->maps[map], NULL, &key) == 0;
	for (unsigned i = 0; more && i < KEYS_MAX; i++) {
		more = bpf_map_get_next_key(memory->maps[map], &key, &next) == 0;
		if (!is_staged(memory, &key))
			bpf_map_delete_elem(memory->maps[map], &key);
		key = next;
	}
}

/* Of all its words: not of its number, nor of where the keeper counts. Never 0. */
static uint64_t identity_of(const struct policy *policy)
{
	const unsigned char *bytes = (const unsigned char *)policy + offsetof(struct policy, size);
	size_t size = sizeof(*policy) - offsetof(struct policy, size);
	uint64_t hash = 0xcbf29ce484222325u, word;

	for (size_t at = 0; at < size; at += sizeof(word)) {
		word = 0;
		memcpy(&word, bytes + at, size - at < sizeof(word) ? size - at : sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
	}
	return hash ? hash : 1;
}

/* What was answered by another policy or allow list is asked anew. Never 0. */
static uint64_t policy_number(const struct kernel_memory *memory)
{
	uint64_t number = memory->words ^ memory->allowances * 0x9e3779b97f4a7c15u;

	return number ? number : 1;
}

static uint8_t refuses_of(enum store store)
{
	return store_may_hold(store)    ? HOOK_REFUSES
	       : store_may_empty(store) ? HOOK_REFUSES_AS_ABSENT
					: HOOK_REFUSES_NOTHING;
}

static struct hook_watch orders_of(const struct policy_watch *watch)
{
	return (struct hook_watch){.mode = watch->mode,
				   .store = watch->store,
				   .may_refuse = refuses_of((enum store)watch->store),
				   .down = (uint8_t)policy_answer_down(watch),
				   .exec_never = watch->exec_never,
				   .origin_mail = watch->origin_mail};
}

/* Words are read one by one on the other side; each is whole. While folders and watches are not of one policy, whoever
 * opens a file is still asked for by fanotify: only who reads by an earlier descriptor may meet the wrong watch. */
static void give_orders(struct kernel_memory *memory, const struct policy *policy)
{
	struct hook_orders *orders = memory->orders;
	int strictest = policy_strictest(policy, UINT64_MAX);
	uint32_t track = 0;

	for (uint32_t i = 0; i < policy->watch_count && i < HOOKS_WATCHES; i++) {
		struct hook_watch watch = orders_of(&policy->watches[i]);
		memcpy(&orders->watches[i], &watch, sizeof(watch));
		track |= watch.origin_mail && watch.mode != MODE_OFF;
	}
	__atomic_store_n(&orders->watch_count, policy->watch_count, __ATOMIC_RELAXED);
	__atomic_store_n(&orders->strictest, strictest < 0 ? 0 : (uint32_t)strictest, __ATOMIC_RELAXED);
	__atomic_store_n(&orders->track_origins, track, __ATOMIC_RELAXED);
	memory->words = identity_of(policy);
	__atomic_store_n(&orders->policy, policy_number(memory), __ATOMIC_RELAXED);
	__atomic_store_n(&orders->epoch, orders->epoch + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&orders->heartbeat_ns, now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&orders->session, memory->session, __ATOMIC_RELEASE);
}

int kernel_memory_commit(struct kernel_memory *memory, const struct policy *policy)
{
	if (!memory)
		return 0;
	put_folders(memory, policy);
	put_programs(memory);
	if (memory->orders)
		give_orders(memory, policy);
	if (kernel_memory_full(memory)) {
		remove_others(memory, HOOK_FOLDERS, is_staged_folder);
		remove_others(memory, HOOK_SYSTEMS, is_staged_system);
	}
	remove_others(memory, HOOK_PROGRAMS, is_staged_program);
	return memory->staged_error;
}

void kernel_memory_definitions(struct kernel_memory *memory, uint64_t definitions)
{
	if (memory && memory->orders)
		__atomic_store_n(&memory->orders->definitions, definitions, __ATOMIC_RELAXED);
}

void kernel_memory_allowances(struct kernel_memory *memory, uint64_t allowances)
{
	if (!memory)
		return;
	memory->allowances = allowances;
	if (memory->orders && memory->words)
		__atomic_store_n(&memory->orders->policy, policy_number(memory), __ATOMIC_RELEASE);
}

uint64_t kernel_memory_policy(const struct kernel_memory *memory)
{
	return memory && memory->orders && memory->words ? policy_number(memory) : 0;
}

uint64_t kernel_memory_definitions_kept(const struct kernel_memory *memory)
{
	return kernel_memory_full(memory) ? memory->orders->definitions : 0;
}

void kernel_memory_forget_places(struct kernel_memory *memory)
{
	if (memory && memory->orders)
		__atomic_store_n(&memory->orders->epoch, memory->orders->epoch + 1, __ATOMIC_RELEASE);
}

/* ---- what the kernel refused by itself ---- */

int kernel_memory_bell(const struct kernel_memory *memory)
{
	return memory ? memory->maps[HOOK_REFUSALS] : -1;
}

bool kernel_memory_refusal(struct kernel_memory *memory, struct hook_refusal *refusal_out)
{
	struct hook_refusal *taken;

	if (!memory || !memory->ring)
		return false;
	memory->taken = false;
	ring_buffer__consume(memory->ring);
	if (!memory->taken)
		return false;
	taken = &memory->refusal;
	if (taken->path_size > sizeof(taken->path))
		taken->path_size = sizeof(taken->path);
	taken->way = taken->way < HOOK_WAYS ? taken->way : HOOK_WAY_OPEN;
	taken->why = taken->why < HOOK_WHYS ? taken->why : HOOK_WHY_UNKNOWN;
	taken->comm[sizeof(taken->comm) - 1] = 0;
	taken->verdict.signature[sizeof(taken->verdict.signature) - 1] = 0;
	if (taken->verdict.kind >= VERDICT_KINDS || taken->verdict.reason >= REASONS)
		memset(&taken->verdict, 0, sizeof(taken->verdict));
	*refusal_out = *taken;
	return true;
}

uint32_t kernel_memory_lost(struct kernel_memory *memory)
{
	uint32_t lost, told;

	if (!memory || !memory->state || !memory->orders)
		return 0;
	lost = (uint32_t)__atomic_load_n(&memory->state->refusals_lost, __ATOMIC_RELAXED);
	told = memory->orders->lost_told;
	__atomic_store_n(&memory->orders->lost_told, lost, __ATOMIC_RELAXED);
	return lost - told;
}

void kernel_memory_counts(const struct kernel_memory *memory, struct hook_state *state_out)
{
	if (memory && memory->state)
		memcpy(state_out, (const void *)memory->state, sizeof(*state_out));
	else
		memset(state_out, 0, sizeof(*state_out));
}
