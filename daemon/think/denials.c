// SPDX-License-Identifier: GPL-2.0-only
#include "denials.h"

#include <stdlib.h>
#include <string.h>

static const size_t text_room[RECORD_TEXTS] = {
	[TEXT_SIGNATURE] = SIGNATURE_SIZE, [TEXT_WATCH] = 1024, [TEXT_POLICY] = 320, [TEXT_QUEUE_ID] = 32,
	[TEXT_MESSAGE_ID] = 256,           [TEXT_DETAIL] = 160, [TEXT_EXE] = 1024,   [TEXT_PATH] = 8192};

void denials_start(struct denials *denials, uint64_t next_id)
{
	memset(denials, 0, sizeof(*denials));
	denials->next_id = denials->first_id = next_id;
}

void denials_end(struct denials *denials)
{
	for (size_t i = 0; i < DENIALS_KEPT; i++)
		free(denials->rows[i].record);
	denials_start(denials, denials->next_id);
}

bool record_is_sound(const void *bytes, size_t size)
{
	const struct record *record = bytes;
	size_t sum = sizeof(*record);

	if (size < sizeof(*record))
		return false;
	for (int i = 0; i < RECORD_TEXTS; i++) {
		if (record->sizes[i] > text_room[i])
			return false;
		sum += record->sizes[i];
	}
	return sum == size && record->access < ACCESS_KINDS && record->answer < ANSWERS && record->phase < PHASES &&
	       record->verdict < VERDICT_KINDS && record->reason < REASONS && record->heuristics < 1 << HEURISTICS;
}

const char *record_text(const struct record *record, enum record_text text, size_t *size_out)
{
	const char *at = (const char *)(record + 1);

	for (enum record_text i = 0; i < text; i++)
		at += record->sizes[i];
	*size_out = record->sizes[text];
	return at;
}

bool record_is_denial(const struct record *record)
{
	return record->answer == ANSWER_DENY;
}

/* FNV-1a, in steps of 64 bits for numbers and of a byte for texts. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * 0x100000001b3u;
}

/* What makes two denials equal, byte for byte. The path counts where the inode isn't known. */
#define SAME_TEXTS 3
static int same_texts(const struct record *record, enum record_text texts_out[SAME_TEXTS])
{
	texts_out[0] = TEXT_SIGNATURE;
	texts_out[1] = TEXT_EXE;
	texts_out[2] = TEXT_PATH;
	return record->ino ? 2 : 3;
}

static uint64_t fingerprint(const struct record *record)
{
	const uint64_t numbers[] = {record->dev,    record->ino,   record->uid,     record->watch_index, record->access,
				    record->answer, record->would, record->verdict, record->reason};
	uint64_t hash = 0xcbf29ce484222325u;
	enum record_text texts[SAME_TEXTS];
	int count = same_texts(record, texts);
	size_t size;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		hash = mix(hash, numbers[i]);
	for (int i = 0; i < count; i++) {
		const char *text = record_text(record, texts[i], &size);
		for (size_t at = 0; at < size; at++)
			hash = mix(hash, (uint8_t)text[at]);
		hash = mix(hash, size);
	}
	return hash | 1; /* 0 is that of a gap */
}

/* Two messages of one mailbox that is only reported of; a record that names none may be of either. */
static bool messages_differ(const struct record *a, const struct record *b)
{
	size_t size_a, size_b;
	const char *id_a = record_text(a, TEXT_MESSAGE_ID, &size_a), *id_b = record_text(b, TEXT_MESSAGE_ID, &size_b);

	return a->would && size_a && size_b && (size_a != size_b || memcmp(id_a, id_b, size_a) != 0);
}

static bool records_equal(const struct record *a, const struct record *b)
{
	enum record_text texts[SAME_TEXTS];
	int count = same_texts(a, texts);

	if (a->dev != b->dev || a->ino != b->ino || a->uid != b->uid || a->watch_index != b->watch_index ||
	    a->access != b->access || a->answer != b->answer || a->would != b->would || a->verdict != b->verdict ||
	    a->reason != b->reason || messages_differ(a, b))
		return false;
	for (int i = 0; i < count; i++) {
		size_t size_a, size_b;
		const char *text_a = record_text(a, texts[i], &size_a), *text_b = record_text(b, texts[i], &size_b);
		if (size_a != size_b || memcmp(text_a, text_b, size_a) != 0)
			return false;
	}
	return true;
}

struct denial *denials_get(struct denials *denials, uint64_t id)
{
	if (id < denials->first_id || id >= denials->next_id)
		return NULL;
	return &denials->rows[id % DENIALS_KEPT];
}

static struct denial *find_equal(struct denials *denials, const struct record *record, uint64_t print)
{
	for (size_t i = 0; i < DENIALS_KEPT; i++) {
		struct denial *denial = &denials->rows[i];
		if (denials->fingerprints[i] != print || !denial->record || (denial->kind == ROW_GAP) != (print == 0))
			continue;
		if (record->time_ns - denial->first_ns >= DENIALS_WINDOW_NS ||
		    denial->first_ns - record->time_ns >= DENIALS_WINDOW_NS)
			continue;
		if (records_equal(denial->record, record))
			return denial;
	}
	return NULL;
}

/* A new last row for this record; the oldest one makes room. */
static struct denial *append(struct denials *denials, const struct record *record, size_t size, uint32_t kind)
{
	struct record *copy = malloc(size);
	struct denial *denial = &denials->rows[denials->next_id % DENIALS_KEPT];

	if (!copy)
		return NULL;
	memcpy(copy, record, size);
	if (denials->next_id - denials->first_id == DENIALS_KEPT) {
		denials->forgotten += denial->count - denial->saved_count;
		free(denial->record);
		denials->first_id++;
	}
	*denial = (struct denial){.id = denials->next_id++,
				  .first_ns = record->time_ns,
				  .last_ns = record->time_ns,
				  .wait_ns = record->wait_ns,
				  .kind = kind,
				  .size = size,
				  .record = copy};
	return denial;
}

struct denial *denials_add(struct denials *denials, const struct record *record, size_t size, uint64_t count)
{
	uint64_t print = fingerprint(record);
	struct denial *denial = find_equal(denials, record, print);

	if (!denial) {
		denial = append(denials, record, size, ROW_RECORD);
		if (!denial) {
			denials->forgotten += count;
			return NULL;
		}
		denials->fingerprints[denial->id % DENIALS_KEPT] = print;
	}
	denial->count += count;
	denial->unsaved = true;
	if (record->time_ns > denial->last_ns)
		denial->last_ns = record->time_ns;
	if (record->wait_ns > denial->wait_ns)
		denial->wait_ns = record->wait_ns;
	return denial;
}

struct denial *denials_add_gap(struct denials *denials, int64_t time_ns, uint64_t count)
{
	struct record record = {.time_ns = time_ns, .uid = UINT32_MAX, .watch_index = UINT32_MAX};
	struct denial *denial = find_equal(denials, &record, 0);

	if (!denial) {
		denial = append(denials, &record, sizeof(record), ROW_GAP);
		if (!denial) {
			denials->forgotten += count;
			return NULL;
		}
		denials->fingerprints[denial->id % DENIALS_KEPT] = 0;
	}
	denial->count += count;
	denial->unsaved = true;
	if (time_ns > denial->last_ns)
		denial->last_ns = time_ns;
	return denial;
}

void denials_saved(struct denials *denials)
{
	for (uint64_t id = denials->first_id; id < denials->next_id; id++) {
		struct denial *denial = denials_get(denials, id);
		denial->unsaved = false;
		denial->saved_count = denial->count;
	}
}

void denials_unsave(struct denials *denials)
{
	for (uint64_t id = denials->first_id; id < denials->next_id; id++) {
		struct denial *denial = denials_get(denials, id);
		denial->unsaved = true;
		denial->saved_count = 0;
	}
}

static void copy_text(const struct record *record, enum record_text text, char *out, size_t room)
{
	size_t size;
	const char *from = record_text(record, text, &size);

	if (size > room - 1)
		size = room - 1;
	memcpy(out, from, size);
	out[size] = 0;
}

void record_to_frame(const struct record *record, struct row_frame *frame)
{
	size_t size;

	memset(frame, 0, sizeof(*frame));
	frame->version = WIRE_VERSION;
	frame->kind = ROW_RECORD;
	frame->time_ns = record->time_ns;
	frame->count = 1;
	frame->wait_ns = record->wait_ns;
	frame->access = record->access;
	frame->answer = record->answer;
	frame->would = record->would;
	frame->pid = record->pid;
	frame->uid = record->uid;
	frame->phase = record->phase;
	frame->verdict.kind = record->verdict;
	frame->verdict.reason = record->reason;
	frame->verdict.heuristics = record->heuristics;
	copy_text(record, TEXT_SIGNATURE, frame->verdict.signature, sizeof(frame->verdict.signature));
	copy_text(record, TEXT_WATCH, frame->watch, sizeof(frame->watch));
	copy_text(record, TEXT_POLICY, frame->policy, sizeof(frame->policy));
	copy_text(record, TEXT_QUEUE_ID, frame->queue_id, sizeof(frame->queue_id));
	copy_text(record, TEXT_MESSAGE_ID, frame->message_id, sizeof(frame->message_id));
	copy_text(record, TEXT_DETAIL, frame->detail, sizeof(frame->detail));
	memcpy(frame->exe, record_text(record, TEXT_EXE, &size), record->sizes[TEXT_EXE]);
	frame->exe_size = (uint32_t)size;
	memcpy(frame->path, record_text(record, TEXT_PATH, &size), record->sizes[TEXT_PATH]);
	frame->path_size = (uint32_t)size;
}

void denial_to_row(const struct denial *denial, struct denial_row *row)
{
	row->id = denial->id;
	row->last_ns = denial->last_ns;
	record_to_frame(denial->record, &row->frame);
	row->frame.kind = denial->kind;
	row->frame.time_ns = denial->first_ns;
	row->frame.count = denial->count;
	row->frame.wait_ns = denial->wait_ns;
	memcpy(row->frame.user, denial->user, sizeof(row->frame.user));
}

static bool path_is_at(const struct row_frame *frame, const char *place)
{
	size_t size = strlen(place);

	while (size > 0 && place[size - 1] == '/')
		size--;
	return frame->path_size >= size && memcmp(frame->path, place, size) == 0 &&
	       (frame->path_size == size || frame->path[size] == '/');
}

bool row_is_wanted(const struct recorder_request *request, const struct denial_row *row)
{
	const struct row_frame *frame = &row->frame;

	if (row->last_ns < request->since_ns)
		return false;
	if (frame->kind == ROW_GAP)
		return true;
	if (request->uid != UINT32_MAX && frame->uid != request->uid)
		return false;
	if (request->reason == RECORDER_REASON_INFECTED &&
	    (frame->verdict.kind != VERDICT_INFECTED || frame->verdict.heuristics))
		return false;
	if (request->reason == RECORDER_REASON_HEURISTIC && frame->verdict.heuristics == 0)
		return false;
	if (request->reason == RECORDER_REASON_EXEC_NEVER && frame->verdict.reason != REASON_EXEC_NEVER)
		return false;
	if (request->reason && request->reason < REASONS && frame->verdict.reason != request->reason)
		return false;
	return request->path[0] == 0 || path_is_at(frame, request->path);
}
