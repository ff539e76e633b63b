// SPDX-License-Identifier: GPL-2.0-only
#include "sweep_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD "mailward-sweep 1"

/* ---- numbers that are there once each ---- */

struct number {
	const char *word;
	size_t offset, size;
};
#define NUMBER(field)                                                                                                  \
	{                                                                                                              \
#field, offsetof(struct sweep_state, field), sizeof(((struct sweep_state *)0)->field)                  \
	}
static const struct number numbers[] = {
	NUMBER(kind),
	NUMBER(state),
	NUMBER(flags),

	NUMBER(begun_ns),
	NUMBER(ended_ns),
	NUMBER(known_ns),
	NUMBER(spread_s),
	NUMBER(root),
	NUMBER(single),

	NUMBER(counts.files),
	NUMBER(counts.bytes),
	NUMBER(counts.known),
	NUMBER(counts.infected),
	NUMBER(counts.unscanned),
	NUMBER(counts.moved),
	NUMBER(counts.unreadable),
	NUMBER(counts.mounts),
	NUMBER(counts.vanished),
	NUMBER(counts.changing),
	NUMBER(files_all),
	NUMBER(bytes_all),
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static uint64_t number_get(const struct sweep_state *state, const struct number *number)
{
	const char *place = (const char *)state + number->offset;
	uint64_t wide;
	uint32_t narrow;

	if (number->size == sizeof(wide)) {
		memcpy(&wide, place, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, place, sizeof(narrow));
	return narrow;
}

static bool number_set(struct sweep_state *state, const struct number *number, uint64_t value)
{
	char *place = (char *)state + number->offset;
	uint32_t narrow = (uint32_t)value;

	if (number->size == sizeof(value)) {
		memcpy(place, &value, sizeof(value));
		return true;
	}
	memcpy(place, &narrow, sizeof(narrow));
	return value == narrow;
}

/* ---- writing ---- */

struct out {
	char *at, *end;
	bool full;
};

static void put(struct out *out, const char *text, size_t size)
{
	if (out->full || size >= (size_t)(out->end - out->at)) {
		out->full = true;
		return;
	}
	memcpy(out->at, text, size);
	out->at += size;
	*out->at = 0;
}

static void put_number(struct out *out, const char *word, uint64_t number)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%s %" PRIu64 "\n", word, number);

	put(out, line, (size_t)length);
}

static void put_name(struct out *out, const char *word, uint64_t ino, const char *name)
{
	static const char digits[] = "0123456789abcdef";
	char line[64];
	int length = snprintf(line, sizeof(line), "%s %" PRIu64 " ", word, ino);

	put(out, line, (size_t)length);
	for (; *name; name++) {
		char pair[2] = {digits[(unsigned char)*name >> 4], digits[*name & 15]};
		put(out, pair, 2);
	}
	put(out, "\n", 1);
}

size_t sweep_state_write(const struct sweep_state *state, char *text, size_t size)
{
	struct out out = {.at = text, .end = text + size};

	put(&out, HEAD "\n", sizeof(HEAD));
	for (size_t i = 0; i < NUMBERS; i++)
		put_number(&out, numbers[i].word, number_get(state, &numbers[i]));
	for (uint32_t i = 0; i < state->root_count; i++)
		put_name(&out, "path", state->roots[i].ino, state->roots[i].path);
	for (uint32_t i = 0; i < state->depth; i++)
		put_name(&out, "at", state->at[i].ino, state->at[i].name);
	for (uint32_t i = 0; i < state->redo_count; i++)
		put_name(&out, "redo", 0, state->redo[i]);
	put(&out, "end\n", 4);
	return out.full ? 0 : (size_t)(out.at - text);
}

/* ---- reading ---- */

static bool read_number(const char **at, const char *end, char stop, uint64_t *out)
{
	const char *begin = *at;
	uint64_t value = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
			return false;
	if (*at == begin || *at == end || **at != stop)
		return false;
	(*at)++;
	*out = value;
	return true;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_name(const char *at, const char *end, char *out, size_t size)
{
	size_t used = 0;

	for (; end - at >= 2 && *at != '\n'; at += 2) {
		int high = digit(at[0]), low = digit(at[1]);
		if (high < 0 || low < 0 || high * 16 + low == 0 || used + 1 >= size)
			return false;
		out[used++] = (char)(high * 16 + low);
	}
	out[used] = 0;
	return at < end && *at == '\n';
}

/* From a folder down: no way up or to somewhere else. */
static bool leads_down(const char *path)
{
	for (const char *at = path; *at;) {
		size_t length = strcspn(at, "/");
		if (length == 0 || (length == 1 && at[0] == '.') || (length == 2 && memcmp(at, "..", 2) == 0))
			return false;
		at += length;
		at += *at == '/';
	}
	return true;
}

static bool take_list(struct sweep_state *state, const char *word, size_t length, const char *at, const char *end)
{
	uint64_t ino;

	if (!read_number(&at, end, ' ', &ino))
		return false;
	if (length == 4 && memcmp(word, "path", 4) == 0 && state->root_count < SWEEP_ROOTS_MAX) {
		struct sweep_root *root = &state->roots[state->root_count++];
		root->ino = ino;
		return read_name(at, end, root->path, sizeof(root->path)) && root->path[0] == '/';
	}
	if (length == 2 && memcmp(word, "at", 2) == 0 && state->depth < SWEEP_DEPTH_MAX) {
		struct sweep_name *name = &state->at[state->depth++];
		name->ino = ino;
		return read_name(at, end, name->name, sizeof(name->name)) && !strchr(name->name, '/') &&
		       strcmp(name->name, ".") != 0 && strcmp(name->name, "..") != 0;
	}
	if (length == 4 && memcmp(word, "redo", 4) == 0 && state->redo_count < SWEEP_REDO_MAX)
		return read_name(at, end, state->redo[state->redo_count++], SWEEP_PATH_SIZE) &&
		       leads_down(state->redo[state->redo_count - 1]);
	return false;
}

static bool take_number(struct sweep_state *state, const char *word, size_t length, const char *at, const char *end,
			uint64_t *seen)
{
	uint64_t value;

	for (size_t i = 0; i < NUMBERS; i++) {
		if (strlen(numbers[i].word) != length || memcmp(numbers[i].word, word, length) != 0)
			continue;
		if (*seen & 1ull << i || !read_number(&at, end, '\n', &value))
			return false;
		*seen |= 1ull << i;
		return number_set(state, &numbers[i], value);
	}
	return false;
}

static bool is_sound(const struct sweep_state *state)
{
	return state->kind < SWEEP_KINDS && state->state < SWEEP_STATES && state->flags <= SWEEP_FLAGS &&
	       state->root <= state->root_count;
}

bool sweep_state_read(const char *text, size_t size, struct sweep_state *state)
{
	const char *at = text, *end = text + size;
	uint64_t seen = 0;

	memset(state, 0, sizeof(*state));
	if (size < sizeof(HEAD) || memcmp(text, HEAD "\n", sizeof(HEAD)) != 0)
		return false;
	for (at += sizeof(HEAD); at < end;) {
		const char *line = memchr(at, '\n', (size_t)(end - at)), *blank;
		if (!line)
			return false;
		if (line - at == 3 && memcmp(at, "end", 3) == 0)
			return line + 1 == end && seen == (1ull << NUMBERS) - 1 && is_sound(state);
		blank = memchr(at, ' ', (size_t)(line - at));
		if (!blank)
			return false;
		if (!take_number(state, at, (size_t)(blank - at), blank + 1, line + 1, &seen) &&
		    !take_list(state, at, (size_t)(blank - at), blank + 1, line + 1))
			return false;
		at = line + 1;
	}
	return false;
}
