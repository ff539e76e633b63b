// SPDX-License-Identifier: GPL-2.0-only
#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "record.h"

static const char *const verdict_names[VERDICT_KINDS] = VERDICT_NAMES;
static const char *const reason_names[REASONS] = REASON_NAMES;
static const char *const heuristic_names[HEURISTICS] = HEURISTIC_NAMES;
static const char *const access_names[ACCESS_KINDS] = ACCESS_NAMES;
static const char *const phase_names[PHASES] = PHASE_NAMES;

/* ---- hostile text ---- */

bool text_is_plain(const char *text, size_t size)
{
	char quoted[QUOTED_ROOM(256)];

	/* text_quote() escapes backslashes too, so they are stepped over; and it is asked for pieces that end between
	 * characters */
	while (size > 0) {
		size_t piece = 0;
		while (piece < size && piece < 256 && text[piece] != '\\')
			piece++;
		if (piece == 256)
			while (piece > 252 && piece < size && ((unsigned char)text[piece] & 0xc0) == 0x80)
				piece--;
		if (text_quote(quoted, sizeof(quoted), text, piece) != piece)
			return false;
		if (piece < size && text[piece] == '\\')
			piece++;
		text += piece;
		size -= piece;
	}
	return true;
}

void text_column(char *out, size_t room, const char *text, size_t size)
{
	size_t used = 0;

	if (size == 0) {
		text = "-";
		size = 1;
	}
	for (size_t i = 0; i < size && used + 5 < room; i++) {
		unsigned char byte = (unsigned char)text[i];
		if (byte > 0x20 && byte < 0x7f && byte != '\\')
			out[used++] = (char)byte;
		else
			used += (size_t)snprintf(out + used, room - used, "\\x%02x", byte);
	}
	out[used] = 0;
}

json_t *json_text(const char *text, size_t size)
{
	json_t *json = NULL;
	char *quoted;

	if (text_is_plain(text, size))
		json = json_stringn(text, size);
	if (json)
		return json;
	quoted = malloc(QUOTED_ROOM(size));
	if (!quoted)
		return json_string("");
	text_quote(quoted, QUOTED_ROOM(size), text, size);
	json = json_string(quoted);
	free(quoted);
	return json;
}

json_t *json_hex(const char *text, size_t size)
{
	char *hex = malloc(size * 2 + 1);
	json_t *json;

	if (!hex)
		return json_string("");
	for (size_t i = 0; i < size; i++)
		snprintf(hex + i * 2, 3, "%02x", (unsigned char)text[i]);
	hex[size * 2] = 0;
	json = json_string(hex);
	free(hex);
	return json;
}

/* ---- times ---- */

void time_text(char *out, int64_t ns, bool milliseconds)
{
	time_t seconds = ns / 1000000000;
	struct tm parts;
	size_t used;

	out[0] = 0;
	if (ns <= 0 || !gmtime_r(&seconds, &parts))
		return;
	used = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &parts);
	if (milliseconds)
		used += (size_t)snprintf(out + used, 8, ".%03d", (int)(ns / 1000000 % 1000));
	memcpy(out + used, "Z", 2);
}

void span_text(char *out, size_t room, uint64_t ns)
{
	unsigned long long ms = (ns + 500000) / 1000000u, s = ms / 1000;

	if (ns < 1000000)
		snprintf(out, room, ns ? "<1ms" : "0");
	else if (ms < 1000)
		snprintf(out, room, "%llums", ms);
	else if (s < 10)
		snprintf(out, room, "%llu.%llus", s, ms / 100 % 10);
	else if (s < 120)
		snprintf(out, room, "%llus", s);
	else if (s < 7200)
		snprintf(out, room, "%llumin", s / 60);
	else if (s < 172800)
		snprintf(out, room, "%lluh", s / 3600);
	else
		snprintf(out, room, "%llud", s / 86400);
}

void size_text(char *out, size_t room, uint64_t bytes)
{
	static const char units[] = "kMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1024 && unit < (int)sizeof(units) - 2) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(out, room, "%" PRIu64 "B", bytes);
	else
		snprintf(out, room, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* ---- the terminal ---- */

bool colours_are_on(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

unsigned terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
		return size.ws_col;
	return 80;
}

/* ---- rows ---- */

enum column { TIME, ANSWER, ACCESS, VERDICT, USER, PROGRAM, WAIT, COUNT, POLICY, PATH, COLUMNS };
static const struct {
	const char *title;
	unsigned width;
	unsigned from_terminal; /* shown on terminals of this width and wider */
} columns[COLUMNS] = {
	[TIME] = {"TIME", 20, 0},       [ANSWER] = {"ANSWER", 10, 0}, [ACCESS] = {"ACCESS", 6, 110},
	[VERDICT] = {"VERDICT", 28, 0}, [USER] = {"USER", 9, 90},     [PROGRAM] = {"PROGRAM", 16, 130},
	[WAIT] = {"WAIT", 6, 150},      [COUNT] = {"COUNT", 5, 100},  [POLICY] = {"POLICY", 18, 160},
	[PATH] = {"PATH", 0, 0},
};
#define PATH_WIDTH_MIN 19

static bool column_is_shown(enum column column, unsigned width)
{
	return width == 0 || width >= columns[column].from_terminal;
}

static unsigned characters(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

/* Prints text, on a terminal no wider than `room`: its end counts most, so "…" stands for its beginning. */
static unsigned print_end(FILE *out, const char *text, unsigned room)
{
	unsigned count = characters(text);

	if (room == 0 || count <= room) {
		fputs(text, out);
		return count;
	}
	for (unsigned skip = count - room + 1; skip > 0; text++)
		skip -= ((unsigned char)text[1] & 0xc0) != 0x80;
	fprintf(out, "…%s", text);
	return room;
}

static void print_padding(FILE *out, unsigned count, unsigned width)
{
	fprintf(out, "%*s", (int)(count < width ? width - count + 1 : 1), "");
}

void print_rows_header(FILE *out, unsigned width)
{
	for (enum column i = 0; i < PATH; i++)
		if (column_is_shown(i, width))
			fprintf(out, "%-*s ", (int)columns[i].width, columns[i].title);
	fprintf(out, "%s\n", columns[PATH].title);
}

static const char *row_answer(const struct row_frame *row)
{
	if (row->answer == ANSWER_ALLOW)
		return "allow";
	return row->answer == ANSWER_NONE ? "" : row->would ? "would-deny" : "deny";
}

const char *verdict_word(const struct verdict *verdict)
{
	for (int i = HEURISTICS; verdict->kind == VERDICT_INFECTED && i-- > 0;)
		if (verdict->heuristics >> i & 1)
			return verdict->heuristics == 1 << i ? heuristic_names[i] : "heuristics";
	return verdict_names[verdict->kind];
}

json_t *heuristics_json(const struct verdict *verdict)
{
	json_t *list = json_array();

	for (int i = 0; i < HEURISTICS; i++)
		if (verdict->heuristics >> i & 1)
			json_array_append_new(list, json_string(heuristic_names[i]));
	return list;
}

/* "infected:NAME", "macro:NAME", "unscanned:timeout", "clean"; where nothing was known, what it was refused for. */
static void verdict_column(char *out, size_t room, const struct row_frame *row)
{
	const struct verdict *verdict = &row->verdict;
	char name[QUOTED_ROOM(SIGNATURE_SIZE)];

	switch ((enum verdict_kind)verdict->kind) {
	case VERDICT_INFECTED:
		text_column(name, sizeof(name), verdict->signature, strlen(verdict->signature));
		snprintf(out, room, "%s:%s", verdict_word(verdict), name);
		return;
	case VERDICT_UNSCANNED:
		snprintf(out, room, "unscanned:%s", reason_names[verdict->reason]);
		return;
	case VERDICT_CLEAN:
		snprintf(out, room, "clean");
		return;
	case VERDICT_NONE:
	case VERDICT_KINDS:
		break;
	}
	snprintf(out, room, "%s",
		 verdict->reason              ? reason_names[verdict->reason]
		 : row->phase == PHASE_DOWN   ? "no-gate"
		 : row->phase == PHASE_HOOK   ? "not-judged-yet"
		 : row->phase == PHASE_KERNEL ? "refused-by-kernel"
					      : "-");
}

static void row_column(char *out, size_t room, const struct row_frame *row, enum column column)
{
	char number[16];

	switch (column) {
	case TIME:
		time_text(out, row->time_ns, false);
		return;
	case ANSWER:
		snprintf(out, room, "%s", row_answer(row));
		return;
	case ACCESS:
		snprintf(out, room, "%s", access_names[row->access]);
		return;
	case VERDICT:
		verdict_column(out, room, row);
		return;
	case USER:
		snprintf(number, sizeof(number), "%u", row->uid);
		if (row->user[0] || row->uid == UINT32_MAX)
			text_column(out, room, row->user, strlen(row->user));
		else
			text_column(out, room, number, strlen(number));
		return;
	case PROGRAM:
		text_column(out, room, row->exe, row->exe_size);
		return;
	case WAIT:
		span_text(out, room, row->wait_ns);
		return;
	case COUNT:
		snprintf(out, room, "%llu", (unsigned long long)row->count);
		return;
	case POLICY:
		text_column(out, room, row->policy, strlen(row->policy));
		return;
	case PATH:
		text_quote(out, room, row->path, row->path_size);
		return;
	case COLUMNS:
		break;
	}
	out[0] = 0;
}

static const char *row_colour(const struct row_frame *row)
{
	return row->answer == ANSWER_ALLOW ? "\033[32m" : row->would ? "\033[33m" : "\033[31m";
}

void print_row(FILE *out, const struct row_frame *row, unsigned width, bool colours)
{
	static char text[QUOTED_ROOM(sizeof(row->path))];
	unsigned used = 0, room;

	if (row->kind == ROW_GAP) {
		time_text(text, row->time_ns, false);
		fprintf(out, "%s (%llu records lost here)\n", text, (unsigned long long)row->count);
		return;
	}
	for (enum column i = 0; i < PATH; i++) {
		bool coloured = colours && i == ANSWER;
		if (!column_is_shown(i, width))
			continue;
		row_column(text, sizeof(text), row, i);
		if (coloured)
			fputs(row_colour(row), out);
		unsigned count = print_end(out, text, width ? columns[i].width : 0);
		if (coloured)
			fputs("\033[0m", out);
		print_padding(out, count, columns[i].width);
		used += columns[i].width + 1;
	}
	row_column(text, sizeof(text), row, PATH);
	room = used + PATH_WIDTH_MIN > width ? PATH_WIDTH_MIN : width - used;
	print_end(out, text[0] ? text : row->watch[0] ? "(of its watch)" : "-", width ? room : 0);
	fputc('\n', out);
}

json_t *row_to_json(const struct row_frame *row)
{
	bool gap = row->kind == ROW_GAP, plain = text_is_plain(row->path, row->path_size);
	json_t *json = json_object();
	char when[32];

	time_text(when, row->time_ns, true);
	json_object_set_new(json, "time", json_string(when));
	json_object_set_new(json, "access", json_string(gap ? "" : access_names[row->access]));
	json_object_set_new(json, "answer", json_string(gap ? "" : row_answer(row)));
	json_object_set_new(json, "verdict", json_string(gap ? "" : verdict_names[row->verdict.kind]));
	json_object_set_new(json, "signature", json_text(row->verdict.signature, strlen(row->verdict.signature)));
	json_object_set_new(json, "heuristics", heuristics_json(&row->verdict));
	json_object_set_new(json, "reason", json_string(reason_names[row->verdict.reason]));
	json_object_set_new(json, "watch", json_text(row->watch, strlen(row->watch)));
	json_object_set_new(json, "policy", json_text(row->policy, strlen(row->policy)));
	json_object_set_new(json, "pid", json_integer(row->pid));
	json_object_set_new(json, "uid", row->uid == UINT32_MAX ? json_null() : json_integer(row->uid));
	json_object_set_new(json, "user", json_text(row->user, strlen(row->user)));
	json_object_set_new(json, "exe", json_text(row->exe, row->exe_size));
	json_object_set_new(json, "path", json_text(row->path, row->path_size));
	json_object_set_new(json, "path_hex", plain ? json_string("") : json_hex(row->path, row->path_size));
	json_object_set_new(json, "wait_ms", json_integer((json_int_t)((row->wait_ns + 500000) / 1000000)));
	json_object_set_new(json, "count", json_integer((json_int_t)row->count));
	json_object_set_new(json, "phase", json_string(gap ? "lost" : phase_names[row->phase]));
	json_object_set_new(json, "queue_id", json_text(row->queue_id, strlen(row->queue_id)));
	json_object_set_new(json, "message_id", json_text(row->message_id, strlen(row->message_id)));
	json_object_set_new(json, "detail", json_text(row->detail, strlen(row->detail)));
	return json;
}

void print_json(FILE *out, json_t *json)
{
	json_dumpf(json, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(json);
}
