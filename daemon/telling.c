// SPDX-License-Identifier: GPL-2.0-only
/* After the answer: what the recorder gets. Never waits: what the ring can't take is counted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
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

	if (scope_find(&gate->scope, fd, sight, &watch, &inner, path, size, &candidates) == WHERE_INSIDE) {
		length = (ssize_t)strlen(path);
	} else {
		snprintf(link, sizeof(link), "self/fd/%d", fd);
		length = readlinkat(FD_PROC, link, path, size - 1);
	}
	if (length < 0)
		return 0;
	/* The kernel's word for a name that is gone is no part of it. */
	if (sight->links == 0 && (size_t)length > gone && memcmp(path + length - gone, " (deleted)", gone) == 0)
		length -= (ssize_t)gone;
	return (size_t)length;
}

void telling_record(struct gate *gate, const struct waiting *waiting, const struct finding *finding,
		    const struct decision *decision, const struct opener *opener, enum record_phase phase)
{
	const struct policy_watch *watch = &gate->policy->watches[waiting->watch];
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
				.reason = finding->verdict.reason};
	static char path[4097];
	char place[320], detail[sizeof(finding->detail)];
	struct sight sight = {0};
	size_t length = 0;

	snprintf(detail, sizeof(detail), "%s", finding->detail);
	if (memory_look(waiting->access.fd, &sight) == 0) {
		record.dev = sight.generation.dev;
		record.ino = sight.generation.ino;
		length = name_file(gate, waiting->access.fd, &sight, path, sizeof(path));
		if (length == 0)
			snprintf(detail, sizeof(detail), "its path is longer than 4096 bytes; inode %llu",
				 (unsigned long long)record.ino);
	}
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

static void explain_known(const struct gate *gate, const struct finding *known, struct explain_reply *reply,
			  struct policy_place *place)
{
	bool would;

	reply->state = EXPLAIN_KNOWN;
	reply->verdict = known->verdict;
	reply->judged_ns = known->judged_ns;
	memcpy(reply->detail, known->detail, sizeof(reply->detail));
	reply->answer = (uint32_t)policy_answer(&gate->policy->watches[reply->watch], &known->verdict, place, &would);
	if (would)
		reply->answer = ANSWER_ALLOW;
}

static void explain(struct gate *gate, int fd, struct explain_reply *reply)
{
	struct policy_place said_by;
	const struct finding *known;
	struct sight sight;
	struct place place;

	reply->watch = UINT32_MAX;
	reply->answer = ANSWER_ALLOW;
	if (!gate->policy || memory_look(fd, &sight) < 0)
		return;
	switch (door_place(gate, fd, &sight, &place)) {
	case WHERE_OUTSIDE:
	case WHERE_OUTSIDE_LINKED:
		return;
	case WHERE_INSIDE:
	case WHERE_UNSURE:
		break;
	}
	const struct policy_watch *watch = &gate->policy->watches[place.watch];
	said_by = watch->place;
	reply->watch = place.watch;
	snprintf(reply->watch_path, sizeof(reply->watch_path), "%.1023s", watch->path);
	known = memory_known(gate->memory, &sight.generation, gate->definitions, now_ns());
	if (known)
		explain_known(gate, known, reply, &said_by);
	else
		reply->state = cases_find(gate->cases, &sight.generation) ? EXPLAIN_JUDGING : EXPLAIN_UNKNOWN;
	bool unheld = watch->mode != MODE_ENFORCE || !store_may_hold((enum store)watch->store);
	if (!sight.regular || place.unheld || sight.generation.size == 0 || (unheld && !known)) {
		reply->state = EXPLAIN_UNHELD;
		reply->answer = ANSWER_ALLOW;
	} else if (!known) {
		reply->answer = ANSWER_NONE;
	}
	policy_place_text(gate->policy, said_by, reply->policy, sizeof(reply->policy));
}

void telling_explain(struct gate *gate)
{
	struct explain_request request;
	int fd = -1, result = frame_receive(gate->recorder, &request, sizeof(request), &fd);

	if (result == -EAGAIN)
		return;
	if (result == 0 && request.version == WIRE_VERSION && fd >= 0) {
		struct explain_reply reply = {.version = WIRE_VERSION, .id = request.id};
		explain(gate, fd, &reply);
		frame_send(gate->recorder, &reply, sizeof(reply), -1);
	} else if (result < 0 && result != -EBADMSG) {
		loop_remove(&gate->loop, &gate->on_recorder);
		close(gate->recorder);
		gate->recorder = -1;
	}
	if (fd >= 0)
		close(fd);
}
