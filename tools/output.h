/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text and JSON for people and scripts. Everything that comes from a file name, a program's path or a signature is
 * hostile: whatever its bytes, it can forge no line, no column, no colour and no JSON.
 */
#ifndef MAILWARD_OUTPUT_H
#define MAILWARD_OUTPUT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "tool.h"
#include "wire.h"

#define QUOTED_ROOM(bytes) ((bytes)*4 + 8) /* room that quoting so many bytes needs at most */

/* Valid UTF-8 without control characters (nor such as turn or break lines)? Then it is shown as it is in JSON. */
bool text_is_plain(const char *text, size_t size);

/* For a column that others follow: printable ASCII without spaces and backslashes, all else \xNN; "-" where empty. */
void text_column(char *out, size_t room, const char *text, size_t size);

/* A JSON string: literal where text_is_plain(), else with \xNN. */
json_t *json_text(const char *text, size_t size);
/* All bytes as hexadecimal digits. */
json_t *json_hex(const char *text, size_t size);

/* "2026-09-01T10:11:12Z", or with milliseconds; out: 32 bytes. ns 0: empty. */
void time_text(char *out, int64_t ns, bool milliseconds);
/* "41ms", "3.2s", "5min", "7h", "12d". */
void span_text(char *out, size_t room, uint64_t ns);

/* "1.2G": powers of 1024. */
void size_text(char *out, size_t room, uint64_t bytes);

/* Colours are on where standard output is a terminal, unless NO_COLOR is set and not empty or TERM is dumb. */
bool colours_are_on(void);
/* Columns of the terminal; 0: standard output is none. */
unsigned terminal_width(void);

/* One line (text or JSON with a newline) for a row of blocked or watch. width: of the terminal, 0: print all. */
void print_rows_header(FILE *out, unsigned width);
void print_row(FILE *out, const struct row_frame *row, unsigned width, bool colours);
/* "infected", "macro" (one heuristic), "heuristics" (several), "unscanned", ... */
const char *verdict_word(const struct verdict *verdict);
json_t *heuristics_json(const struct verdict *verdict); /* their names */
json_t *row_to_json(const struct row_frame *row);
/* What status and scan say of a sweep. */
json_t *sweep_to_json(const struct sweep_shown *sweep);
/* Prints one line of JSON and lets go of it. */
void print_json(FILE *out, json_t *json);

#endif
