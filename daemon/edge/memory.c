// SPDX-License-Identifier: GPL-2.0-only
/* A table of sets of four places; within a set the one used longest ago makes room. Findings that are more than "clean"
 * lie in a ring of their own; an entry whose finding was overwritten is unknown again. */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"
#include "loop.h"

#define SETS 16384u /* a power of two */
#define WAYS 4u
#define FINDINGS 4096u
#define SECOND 1000000000ull

/* One for each file. */
struct entry {
	struct generation generation; /* that the verdict is of */
	uint64_t used;                /* turn of the memory when last asked for; 0: empty */
	uint64_t definitions;         /* 0: no verdict, only a place */
	uint64_t judged_ns;
	uint64_t worker;
	uint64_t expires_ns; /* CLOCK_MONOTONIC; 0: never */
	uint64_t finding;    /* serial in the ring of findings; 0: clean */
	uint64_t epoch;      /* of the place; 0: not known */
	int64_t place_changed_ns;
	uint32_t watch;
	uint8_t unheld;
	uint8_t stale; /* the content may have changed: only its digest can tell */
	uint8_t has_digest;
	uint8_t digest[32];
	uint64_t check; /* over the verdict, so that one that was not written to its end can be told */
};

struct memory {
	uint64_t turn;
	uint64_t serial; /* of the latest finding */
	uint64_t changes, withdrawals;
	uint64_t size; /* of all this; 0: nothing was here before */
	bool shared;
	struct finding clean;
	struct finding findings[FINDINGS];
	struct entry entries[SETS][WAYS];
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t word;

	for (; size >= 8; at += 8, size -= 8) {
		memcpy(&word, at, sizeof(word));
		sum = (sum ^ word) * 0xff51afd7ed558ccdu;
		sum ^= sum >> 32;
	}
	for (; size > 0; at++, size--)
		sum = (sum ^ *at) * 0x100000001b3u;
	return sum;
}

/* finding: of an entry that has one. */
static uint64_t check_of(const struct entry *entry, const struct finding *finding)
{
	uint64_t sum = mix(0, &entry->generation, sizeof(entry->generation));

	sum = mix(sum, &entry->definitions, sizeof(entry->definitions));
	sum = mix(sum, &entry->judged_ns, sizeof(entry->judged_ns));
	sum = mix(sum, &entry->worker, sizeof(entry->worker));
	sum = mix(sum, &entry->expires_ns, sizeof(entry->expires_ns));
	sum = mix(sum, &entry->finding, sizeof(entry->finding));
	sum = mix(sum, entry->digest, sizeof(entry->digest));
	sum = mix(sum, &entry->has_digest, 1);
	return finding ? mix(sum, finding, sizeof(*finding)) : sum;
}

/* Whole, and its finding is still there. false: it is no verdict. */
static bool is_whole(const struct memory *memory, const struct entry *entry)
{
	bool has = entry->finding != 0;

	return entry->used && entry->definitions && (!has || memory->serial - entry->finding < FINDINGS) &&
	       entry->generation.handle_size <= HANDLE_SIZE &&
	       entry->check == check_of(entry, has ? &memory->findings[entry->finding % FINDINGS] : NULL);
}

/* A gate was here before us. */
static void take_over(struct memory *memory)
{
	for (uint32_t i = 0; i < SETS * WAYS; i++) {
		struct entry *entry = &memory->entries[i / WAYS][i % WAYS];
		entry->epoch = 0;
		if (entry->used && !is_whole(memory, entry))
			*entry = (struct entry){0};
	}
}

size_t memory_size(void)
{
	return sizeof(struct memory);
}

int memory_open(struct memory **memory_out, int fd)
{
	struct memory *memory;

	if (fd < 0) {
		memory = calloc(1, sizeof(*memory));
	} else {
		memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED)
			memory = NULL;
	}
	if (!memory)
		return -ENOMEM;
	if (memory->size == sizeof(*memory)) {
		take_over(memory);
	} else {
		memset(memory, 0, sizeof(*memory));
		memory->size = sizeof(*memory);
	}
	memory->shared = fd >= 0;
	*memory_out = memory;
	return 0;
}

const struct memory *memory_view(int fd)
{
	const struct memory *memory = mmap(NULL, sizeof(*memory), PROT_READ, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (memory->size == sizeof(*memory))
		return memory;
	munmap((void *)memory, sizeof(*memory));
	return NULL;
}

void memory_close(struct memory **memory)
{
	if (*memory && (*memory)->shared)
		munmap(*memory, sizeof(**memory));
	else
		free(*memory);
	*memory = NULL;
}

static void take_handle(int fd, struct generation *generation)
{
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + HANDLE_SIZE];
	} room;
	int mount_id;

	room.head.handle_bytes = HANDLE_SIZE;
	if (name_to_handle_at(fd, "", &room.head, &mount_id, AT_EMPTY_PATH) < 0)
		return;
	generation->handle_type = room.head.handle_type;
	generation->handle_size = (uint8_t)room.head.handle_bytes;
	memcpy(generation->handle, room.head.f_handle, room.head.handle_bytes);
}

int memory_look(int fd, struct sight *sight_out)
{
	struct sight sight = {0};
	struct statx now;
	struct timespec tick;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &now) < 0)
		return -errno;
	sight.generation.dev = makedev(now.stx_dev_major, now.stx_dev_minor);
	sight.generation.ino = now.stx_ino;
	sight.generation.size = now.stx_size;
	sight.generation.ctime_ns = now.stx_ctime.tv_sec * (int64_t)SECOND + now.stx_ctime.tv_nsec;
	take_handle(fd, &sight.generation);
	sight.changed_ns = sight.generation.ctime_ns;
	sight.links = now.stx_nlink;
	sight.mount_id = now.stx_mnt_id;
	sight.regular = S_ISREG(now.stx_mode);
	sight.certain = sight.generation.handle_size > 0;
	/* File systems stamp with the coarse clock; whatever changes after its present reading gets a later stamp. */
	clock_gettime(CLOCK_REALTIME_COARSE, &tick);
	sight.settled = tick.tv_sec * (int64_t)SECOND + tick.tv_nsec > sight.generation.ctime_ns;
	*sight_out = sight;
	return 0;
}

uint64_t memory_unsettled_ns(const struct sight *sight)
{
	int64_t ahead = sight->generation.ctime_ns - (int64_t)wall_ns();

	if (sight->settled || ahead > (int64_t)SECOND / 10)
		return 0;
	return (ahead > 0 ? (uint64_t)ahead : 0) + 10000000; /* a tick is at most 10 ms (CONFIG_HZ=100) */
}

bool memory_no_writer(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return false;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

static struct entry *set_of(struct memory *memory, const struct generation *generation)
{
	return memory->entries[generation_hash(generation) & (SETS - 1)];
}

static struct entry *find(struct memory *memory, const struct generation *file)
{
	struct entry *set = set_of(memory, file);

	if (file->handle_size == 0)
		return NULL;
	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].used && generation_same_file(&set[i].generation, file)) {
			set[i].used = ++memory->turn;
			return &set[i];
		}
	return NULL;
}

/* The entry of this file, made if there is none, in an empty place or instead of the one used longest ago. */
static struct entry *make(struct memory *memory, const struct generation *generation)
{
	struct entry *set = set_of(memory, generation), *place = find(memory, generation);

	if (place)
		return place;
	place = set;
	for (unsigned i = 1; i < WAYS; i++)
		if (set[i].used < place->used)
			place = &set[i];
	*place = (struct entry){.generation = *generation, .used = ++memory->turn};
	return place;
}

/* The verdict of an entry, whatever generation it is of. */
static const struct finding *finding_of(struct memory *memory, const struct entry *entry, uint64_t definitions,
					uint64_t now)
{
	if (entry->definitions != definitions || definitions == 0 || (entry->expires_ns && entry->expires_ns <= now))
		return NULL;
	if (entry->finding == 0) {
		memory->clean = (struct finding){.verdict.kind = VERDICT_CLEAN,
						 .definitions = definitions,
						 .judged_ns = entry->judged_ns,
						 .worker = entry->worker};
		return &memory->clean;
	}
	return memory->serial - entry->finding < FINDINGS ? &memory->findings[entry->finding % FINDINGS] : NULL;
}

const struct finding *memory_known(struct memory *memory, const struct generation *generation, uint64_t definitions,
				   uint64_t now)
{
	struct entry *entry = find(memory, generation);

	if (!entry || entry->stale || !generation_same(&entry->generation, generation))
		return NULL;
	return finding_of(memory, entry, definitions, now);
}

bool memory_digest(struct memory *memory, const struct generation *generation, uint8_t digest[32])
{
	struct entry *entry = find(memory, generation);

	if (!entry || entry->stale || !entry->has_digest || !generation_same(&entry->generation, generation))
		return false;
	memcpy(digest, entry->digest, sizeof(entry->digest));
	return true;
}

const struct finding *memory_known_clean(struct memory *memory, const struct generation *generation, uint64_t now)
{
	struct entry *entry = find(memory, generation);

	if (!entry || entry->stale || entry->finding != 0 || !generation_same(&entry->generation, generation))
		return NULL;
	return finding_of(memory, entry, entry->definitions, now);
}

const struct finding *memory_same_content(struct memory *memory, const struct generation *file,
					  const uint8_t digest[32], uint64_t definitions, uint64_t now)
{
	struct entry *entry = find(memory, file);

	if (!entry || !entry->has_digest || memcmp(entry->digest, digest, sizeof(entry->digest)) != 0)
		return NULL;
	return finding_of(memory, entry, definitions, now);
}

/* How long a verdict may be kept: what lies in the file itself lasts; what lay in the moment is tried again. 0: for
 * good; UINT64_MAX: not at all. */
static uint64_t lasts_ns(const struct verdict *verdict)
{
	/* Where a heuristic matched, a part may have been left out besides. */
	if (verdict->kind != VERDICT_UNSCANNED && !(verdict->kind == VERDICT_INFECTED && verdict->reason))
		return 0;
	switch ((enum verdict_reason)verdict->reason) {
	case REASON_TOO_LARGE:
	case REASON_TOO_DEEP:
	case REASON_ENCRYPTED:
	case REASON_UNSUPPORTED:
		return 0;
	case REASON_TIMEOUT:
		return 60 * SECOND;
	case REASON_IO_ERROR:
	case REASON_ENGINE_ERROR:
	case REASON_CRASHED:
		return 10 * SECOND;
	case REASON_NONE:
	case REASON_NO_DEFINITIONS:
	case REASON_BUSY:
	case REASON_EXEC_NEVER:
	case REASONS:
		break;
	}
	return UINT64_MAX;
}

bool memory_lasts(const struct verdict *verdict)
{
	return verdict->kind != VERDICT_NONE && lasts_ns(verdict) == 0;
}

void memory_keep(struct memory *memory, const struct generation *generation, const struct finding *finding,
		 const uint8_t digest[32], uint64_t now)
{
	uint64_t lasts = lasts_ns(&finding->verdict);
	struct entry *entry;

	if (generation->handle_size == 0 || lasts == UINT64_MAX || finding->definitions == 0)
		return;
	entry = make(memory, generation);
	entry->definitions = 0;
	entry->generation = *generation;
	entry->stale = false;
	entry->judged_ns = finding->judged_ns;
	entry->worker = finding->worker;
	entry->expires_ns = lasts ? now + lasts : 0;
	entry->has_digest = digest != NULL;
	if (digest)
		memcpy(entry->digest, digest, sizeof(entry->digest));
	entry->finding = 0;
	struct finding kept = *finding; /* it may lie in the ring itself */
	if (kept.verdict.kind != VERDICT_CLEAN || kept.allowed) {
		entry->finding = ++memory->serial;
		memory->findings[entry->finding % FINDINGS] = kept;
	}
	entry->definitions = kept.definitions;
	entry->check = check_of(entry, entry->finding ? &kept : NULL);
	__atomic_store_n(&memory->changes, memory->changes + 1, __ATOMIC_RELEASE);
}

bool memory_place(struct memory *memory, const struct sight *sight, uint64_t epoch, struct place *place_out)
{
	struct entry *entry = find(memory, &sight->generation);

	if (!entry || entry->epoch != epoch || entry->place_changed_ns != sight->changed_ns)
		return false;
	*place_out = (struct place){.watch = entry->watch, .unheld = entry->unheld};
	return true;
}

void memory_keep_place(struct memory *memory, const struct sight *sight, uint64_t epoch, const struct place *place)
{
	struct entry *entry;

	if (sight->generation.handle_size == 0)
		return;
	entry = make(memory, &sight->generation);
	entry->epoch = epoch;
	entry->place_changed_ns = sight->changed_ns;
	entry->watch = place->watch;
	entry->unheld = place->unheld;
}

void memory_moved(struct memory *memory, const struct generation *file)
{
	struct entry *entry = find(memory, file);

	if (entry)
		entry->epoch = 0;
}

void memory_changed(struct memory *memory, const struct generation *file)
{
	struct entry *entry = find(memory, file);

	if (entry)
		entry->stale = true;
}

void memory_changed_all(struct memory *memory)
{
	for (uint32_t i = 0; i < SETS * WAYS; i++)
		memory->entries[i / WAYS][i % WAYS].stale = true;
}

void memory_withdraw(struct memory *memory, uint64_t worker, void (*each)(void *owner, const struct generation *file),
		     void *owner)
{
	for (uint32_t i = 0; i < SETS * WAYS; i++) {
		struct entry *entry = &memory->entries[i / WAYS][i % WAYS];
		if (!entry->used || entry->worker != worker || entry->definitions == 0)
			continue;
		entry->definitions = 0;
		__atomic_store_n(&memory->withdrawals, memory->withdrawals + 1, __ATOMIC_RELEASE);
		each(owner, &entry->generation);
	}
}

/* ---- what outlives the daemon ---- */

void memory_restore(struct memory *memory, const struct kept_verdict *kept)
{
	struct finding finding = {
		.verdict = kept->verdict, .definitions = kept->definitions, .judged_ns = kept->judged_ns};
	struct entry *entry;

	if (!memory_lasts(&kept->verdict))
		return;
	memcpy(finding.detail, kept->detail, sizeof(finding.detail));
	memcpy(finding.queue_id, kept->queue_id, sizeof(finding.queue_id));
	memcpy(finding.message_id, kept->message_id, sizeof(finding.message_id));
	memory_keep(memory, &kept->generation, &finding, kept->digest, 0);
	entry = find(memory, &kept->generation);
	if (entry)
		entry->stale = true;
}

bool memory_kept_next(const struct memory *memory, uint32_t *at, struct kept_verdict *kept)
{
	while (*at < SETS * WAYS) {
		struct entry entry = memory->entries[*at / WAYS][*at % WAYS];
		struct finding finding = {.verdict.kind = VERDICT_CLEAN};
		++*at;
		if (!entry.used || !entry.has_digest || entry.expires_ns || !entry.definitions)
			continue;
		if (entry.finding)
			finding = memory->findings[entry.finding % FINDINGS];
		/* What the allow list lets go is not of the content alone. */
		if (entry.check != check_of(&entry, entry.finding ? &finding : NULL) || finding.allowed)
			continue;
		*kept = (struct kept_verdict){.generation = entry.generation,
					      .definitions = entry.definitions,
					      .judged_ns = entry.judged_ns,
					      .verdict = finding.verdict};
		memcpy(kept->digest, entry.digest, sizeof(kept->digest));
		memcpy(kept->detail, finding.detail, sizeof(kept->detail));
		memcpy(kept->queue_id, finding.queue_id, sizeof(kept->queue_id));
		memcpy(kept->message_id, finding.message_id, sizeof(kept->message_id));
		return true;
	}
	return false;
}

uint64_t memory_changes(const struct memory *memory)
{
	return __atomic_load_n(&memory->changes, __ATOMIC_ACQUIRE);
}

uint64_t memory_withdrawals(const struct memory *memory)
{
	return __atomic_load_n(&memory->withdrawals, __ATOMIC_ACQUIRE);
}
