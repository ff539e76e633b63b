// SPDX-License-Identifier: GPL-2.0-only
/* After the answer: what the recorder gets. Never waits: what the ring can't take is counted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "gate_state.h"

static void ring_put_record(struct gate *gate, struct record *record, const struct ring_part *texts)
{
	struct ring_part parts[1 + RECORD_TEXTS] = {{.bytes = record, .size = sizeof(*record)}};
	uint64_t one = 1;

	for (int i = 0; i < RECORD_TEXTS; i++) {
		parts[i + 1] = texts[i];
		record->sizes[i] = (uint16_t)texts[i].size;
	}
	if (!ring_put(gate->ring, parts, 1 + RECORD_TEXTS))
		count(&gate->status->records_lost);
	if (write(FD_RECORD_BELL, &one, sizeof(one)) < 0)
		return; /* rung for already */
}

static struct ring_part text_part(const char *text, size_t most)
{
	return (struct ring_part){.bytes = text, .size = strnlen(text, most)};
}

/* What the file is called: on our own mounts where that can be told, else as the opener called it. */
static size_t name_file(struct gate *gate, int fd, const struct sight *sight, char *path, size_t size)
{
	static const size_t gone = sizeof(" (deleted)") - 1;
	char link[32];
	size_t inner;
	uint64_t candidates;
	uint32_t watch;
	ssize_t length;
	bool nameless = sight->links == 0;

	if (scope_find(&gate->scope, fd, sight, &watch, &inner, path, size, &candidates) == WHERE_INSIDE) {
		length = (ssize_t)strlen(path);
		/* A delivery links it to its last name, and removes the first one. */
		nameless = nameless ||
			   (gate->policy && store_is_transient((enum store)gate->policy->watches[watch].store, path));
	} else {
		snprintf(link, sizeof(link), "self/fd/%d", fd);
		length = readlinkat(FD_PROC, link, path, size - 1);
	}
	if (length < 0)
		return 0;
	/* The kernel's word for a name that is gone is no part of it. */
	if (nameless && (size_t)length > gone && memcmp(path + length - gone, " (deleted)", gone) == 0)
		length -= (ssize_t)gone;
	return (size_t)length;
}

/* A file's name is no more than a user's word: only together with the uid that the selftest tries it by. */
static bool names_canary(const char *name)
{
	return strncmp(name, SELFTEST_PREFIX, strlen(SELFTEST_PREFIX)) == 0;
}

bool telling_is_canary(const struct gate *gate, uint32_t uid, int fd)
{
	static char path[4097];
	const char *name;
	char link[32];
	ssize_t length;

	if (uid != gate->policy->scanner.worker_uid)
		return false;
	snprintf(link, sizeof(link), "self/fd/%d", fd);
	length = readlinkat(FD_PROC, link, path, sizeof(path) - 1);
	if (length < 0)
		return true; /* its folders' names are too long to be told */
	path[length] = 0;
	name = strrchr(path, '/');
	return name && names_canary(name + 1);
}

size_t telling_name(struct gate *gate, int fd, char *path, size_t size)
{
	struct sight sight;

	return memory_look(fd, &sight) == 0 ? name_file(gate, fd, &sight, path, size) : 0;
}

/* The name that it had before it was moved. */
static size_t name_before(const struct parting *parting, char *path, size_t size, size_t length)
{
	static const char folder[] = "/" QUARANTINE_FOLDER "/";

	if (!parting || !parting->path_size || !memmem(path, length, folder, sizeof(folder) - 1) ||
	    parting->path_size > size)
		return length;
	memcpy(path, parting->path, parting->path_size);
	return parting->path_size;
}

void telling_record(struct gate *gate, const struct waiting *waiting, const struct finding *finding,
		    const struct policy_decision *decision, const struct opener *opener, enum record_phase phase)
{
	static const struct policy_watch none;
	const struct policy_watch *watch =
		waiting->watch == WATCH_NONE ? &none : &gate->policy->watches[waiting->watch];
	struct record record = {.time_ns = (int64_t)wall_ns(),
				.wait_ns = waiting->held ? now_ns() - waiting->since_ns : 0,
				.pid = waiting->access.pid > 0 ? (uint32_t)waiting->access.pid : 0,
				.uid = opener->uid,
				.watch_index = waiting->watch,
				.access = waiting->access.kind,
				.answer = (uint8_t)decision->answer,
				.would = decision->would,
				.phase = (uint8_t)phase,
				.verdict = finding->verdict.kind,
				.reason = finding->verdict.reason,
				.heuristics = finding->verdict.heuristics};
	static char path[4097];
	char place[320], detail[sizeof(finding->detail)];
	struct sight sight = {0};
	size_t length = 0;

	snprintf(detail, sizeof(detail), "%s", finding->detail);
	if (memory_look(waiting->access.fd, &sight) == 0) {
		record.dev = sight.generation.dev;
		record.ino = sight.generation.ino;
		length = name_file(gate, waiting->access.fd, &sight, path, sizeof(path));
		length = name_before(gate->telling_of, path, sizeof(path), length);
		if (length == 0)
			snprintf(detail, sizeof(detail), "its path is longer than 4096 bytes; inode %llu",
				 (unsigned long long)record.ino);
	}
	place[0] = 0;
	if (decision->place.line)
		policy_place_text(gate->policy, decision->place, place, sizeof(place));
	const struct ring_part texts[RECORD_TEXTS] = {
		[TEXT_SIGNATURE] = text_part(finding->verdict.signature, SIGNATURE_SIZE - 1),
		[TEXT_WATCH] = text_part(watch->path, 1023),
		[TEXT_POLICY] = text_part(place, sizeof(place) - 1),
		[TEXT_QUEUE_ID] = text_part(finding->queue_id, sizeof(finding->queue_id) - 1),
		[TEXT_MESSAGE_ID] = text_part(finding->message_id, sizeof(finding->message_id) - 1),
		[TEXT_DETAIL] = text_part(detail, sizeof(detail) - 1),
		[TEXT_EXE] = {.bytes = opener->exe, .size = opener->exe_size},
		[TEXT_PATH] = {.bytes = path, .size = length},
	};
	ring_put_record(gate, &record, texts);
}

void telling_refused(struct gate *gate, int32_t pid, int error)
{
	struct record record = {.time_ns = (int64_t)wall_ns(),
				.pid = pid > 0 ? (uint32_t)pid : 0,
				.watch_index = UINT32_MAX,
				.answer = ANSWER_DENY,
				.phase = PHASE_KERNEL,
				.verdict = VERDICT_UNSCANNED,
				.reason = REASON_IO_ERROR};
	struct opener opener;
	char detail[160];

	opener_identify(FD_PROC, pid, &opener);
	record.uid = opener.uid;
	snprintf(detail, sizeof(detail), "refused by the kernel, which could not open the file for the gate: %s",
		 error == EAGAIN ? "somebody holds a write lease on it" : strerrordesc_np(error));
	struct ring_part texts[RECORD_TEXTS] = {
		[TEXT_DETAIL] = text_part(detail, sizeof(detail) - 1),
		[TEXT_EXE] = {.bytes = opener.exe, .size = opener.exe_size},
	};
	ring_put_record(gate, &record, texts);
}

/* ---- what the kernel side refused by itself ---- */

#define REFUSALS_TURN 64 /* at once: whoever waits comes first */

static const char *const ways[HOOK_WAYS] = {"an open", "a read", "a mapping", "mprotect", "an execution"};
static const char *const whys[HOOK_WHYS] = {
	[HOOK_WHY_DENIED] = "what was found before still holds",
	[HOOK_WHY_UNKNOWN] = "the content has no current answer: it changed after it was approved, or was never judged",
	[HOOK_WHY_DOWN] = "no gate was running, and the content had no answer from before",
	[HOOK_WHY_STACKED] = "opened through an overlay, and the content has no current answer",
	[HOOK_WHY_EXEC_NEVER] = "exec = never",
};

/* The folder that the names begin at, as far as it can be told: a watch may have several on other file systems. */
static const char *refusal_root(const struct gate *gate, const struct hook_refusal *refusal)
{
	for (uint32_t i = 0; i < gate->scope.count; i++) {
		const struct scope_root *root = &gate->scope.roots[i];
		if ((int32_t)root->watch == refusal->watch && root->device == refusal->dev)
			return root->path_size == 1 ? "" : root->path;
	}
	return NULL;
}

/* Names lie from the file upwards, each with a zero behind it; any other byte may be in them. */
static size_t refusal_path(const struct gate *gate, const struct hook_refusal *refusal, char *path, size_t size)
{
	const char *root = refusal_root(gate, refusal), *names = refusal->path, *end = names + refusal->path_size;
	size_t length;

	while (end > names && end[-1] == 0)
		end--;
	if (end == names)
		return 0;
	length = (size_t)snprintf(path, size, "%s%s", root ? root : "", root && !refusal->path_cut ? "" : "/...");
	while (end > names && length < size) {
		const char *name = end;
		while (name > names && name[-1])
			name--;
		if (length + 1 + (size_t)(end - name) > size)
			break;
		path[length++] = '/';
		memcpy(path + length, name, (size_t)(end - name));
		length += (size_t)(end - name);
		end = name > names ? name - 1 : names;
	}
	return length < size ? length : size;
}

static struct policy_place refusal_said_by(const struct policy_watch *watch, const struct hook_refusal *refusal)
{
	struct policy_decision decision;

	switch ((enum hook_why)refusal->why) {
	case HOOK_WHY_DENIED:
		policy_decide(watch, &refusal->verdict, &decision);
		return decision.place;
	case HOOK_WHY_DOWN:
		return watch->actions[CASE_DOWN].place;
	case HOOK_WHY_EXEC_NEVER:
		return watch->exec_place;
	case HOOK_WHY_UNKNOWN:
	case HOOK_WHY_STACKED:
	case HOOK_WHYS:
		break;
	}
	return watch->place;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Its program, if the process is still there; else its name goes into the detail. Nobody waits for this. */
static void refusal_opener(const struct hook_refusal *refusal, uint64_t age_ns, struct opener *opener, char *detail,
			   size_t size)
{
	char comm[sizeof(refusal->comm)];
	bool there = opener_was(FD_PROC, (int32_t)refusal->pid, refusal->comm, clock_ns(CLOCK_BOOTTIME) - age_ns);

	*opener = (struct opener){.uid = refusal->uid};
	if (there)
		opener_identify(FD_PROC, (int32_t)refusal->pid, opener);
	opener->uid = refusal->uid;
	memcpy(comm, refusal->comm, sizeof(comm));
	for (char *at = comm; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	snprintf(detail, size, "refused by the kernel at %s: %s%s%s", ways[refusal->way], whys[refusal->why],
		 opener->exe_size ? "" : "; by ", opener->exe_size ? "" : comm);
}

static void tell_refusal(struct gate *gate, const struct hook_refusal *refusal)
{
	static const struct policy_watch nothing;
	static struct opener opener;
	static char path[4097];
	bool known = refusal->watch >= 0 && (uint32_t)refusal->watch < gate->policy->watch_count;
	const struct policy_watch *watch = known ? &gate->policy->watches[refusal->watch] : &nothing;
	uint64_t mono = now_ns(), age = mono > refusal->monotonic_ns ? mono - refusal->monotonic_ns : 0;
	uint64_t wall = wall_ns() - age;
	bool by_verdict = refusal->why == HOOK_WHY_DENIED;
	struct record record = {.time_ns = (int64_t)wall,
				.dev = makedev(refusal->dev >> 20, refusal->dev & 0xfffff),
				.ino = refusal->ino,
				.pid = refusal->pid,
				.uid = refusal->uid,
				.watch_index = known ? (uint32_t)refusal->watch : UINT32_MAX,
				.access = refusal->way == HOOK_WAY_EXEC ? ACCESS_EXEC : ACCESS_OPEN,
				.answer = ANSWER_DENY,
				.phase = refusal->why == HOOK_WHY_DOWN ? PHASE_DOWN : PHASE_HOOK,
				.verdict = by_verdict ? refusal->verdict.kind : VERDICT_NONE,
				.reason = by_verdict ? refusal->verdict.reason : REASON_NONE,
				.heuristics = by_verdict ? refusal->verdict.heuristics : 0};
	char place[320] = "", detail[160];

	if (refusal->uid == gate->policy->scanner.worker_uid &&
	    (refusal->path_size == 0 || names_canary(refusal->path)))
		return;
	count_denied(gate->status, wall);
	if (refusal->why == HOOK_WHY_EXEC_NEVER)
		record.reason = REASON_EXEC_NEVER;
	refusal_opener(refusal, age, &opener, detail, sizeof(detail));
	if (known)
		policy_place_text(gate->policy, refusal_said_by(watch, refusal), place, sizeof(place));
	const char *signature = by_verdict ? refusal->verdict.signature : "";
	const struct ring_part texts[RECORD_TEXTS] = {
		[TEXT_SIGNATURE] = text_part(signature, SIGNATURE_SIZE - 1),
		[TEXT_WATCH] = text_part(watch->path, 1023),
		[TEXT_POLICY] = text_part(place, sizeof(place) - 1),
		[TEXT_DETAIL] = text_part(detail, sizeof(detail) - 1),
		[TEXT_EXE] = {.bytes = opener.exe, .size = opener.exe_size},
		[TEXT_PATH] = {.bytes = path, .size = refusal_path(gate, refusal, path, sizeof(path))},
	};
	ring_put_record(gate, &record, texts);
}

void telling_refusals(struct gate *gate)
{
	struct hook_refusal refusal;
	struct hook_state state;
	uint32_t lost;

	if (!gate->policy || !gate->kernel)
		return;
	for (int i = 0; i < REFUSALS_TURN && kernel_memory_refusal(gate->kernel, &refusal); i++)
		tell_refusal(gate, &refusal);
	kernel_memory_counts(gate->kernel, &state);
	__atomic_store_n(&gate->status->hook_refusals, state.refused, __ATOMIC_RELAXED);
	__atomic_store_n(&gate->status->hook_refusals_lost, state.refusals_lost, __ATOMIC_RELAXED);
	lost = kernel_memory_lost(gate->kernel);
	if (lost == 0)
		return;
	/* Counted, and a gap in the history, as with records that our own ring had no room for. */
	__atomic_store_n(&gate->status->denied, gate->status->denied + lost, __ATOMIC_RELAXED);
	__atomic_fetch_add(&gate->ring->lost, lost, __ATOMIC_RELAXED);
}
