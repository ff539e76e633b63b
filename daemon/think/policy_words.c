// SPDX-License-Identifier: GPL-2.0-only
#include "policy_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define DEPTH_MAX 4
#define NAME_LENGTH_MAX 40 /* of a word that names something */

enum expects {
	EXPECTS_STATEMENT, /* a word, or the end of the block */
	EXPECTS_AFTER_NAME,
	EXPECTS_BLOCK, /* after NAME TITLE */
	EXPECTS_VALUE,
	EXPECTS_ITEM,      /* inside { } of a list */
	EXPECTS_SEPARATOR, /* after an item */
};

struct reading {
	const struct policy_source *source;
	struct complaints *complaints;
	FILE *out;
	size_t at;
	unsigned line, assignment;
	enum expects expects;
	unsigned depth, opened[DEPTH_MAX]; /* lines of the blocks that are open */
	char name[NAME_LENGTH_MAX + 1];    /* the word that the statement began with, and its line */
	unsigned name_line;
	bool failed;
};

/* Only the first mistake of a file is told: what follows one is rarely true. */
#define mistake(reading, ...)                                                                                          \
	do {                                                                                                           \
		complain((reading)->complaints, false, (reading)->source->name, (reading)->line, __VA_ARGS__);         \
		(reading)->failed = true;                                                                              \
	} while (0)

static unsigned char peek(const struct reading *reading)
{
	return reading->at < reading->source->size ? (unsigned char)reading->source->text[reading->at] : 0;
}

/* Not isalnum(3) and its like: cfg_init() sets the locale. */
static bool is_lower_or_digit(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_bare(unsigned char c)
{
	return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || (c && strchr("-_./:@%~", c));
}

/* A tagged string in single quotes, in which libconfuse changes \\ and \' alone. */
static void put_value(struct reading *reading, const char *text, size_t length)
{
	fprintf(reading->out, "'%u.%u:", reading->line, reading->assignment);
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\\' || text[i] == '\'')
			fputc('\\', reading->out);
		fputc(text[i], reading->out);
	}
	fputs("' ", reading->out);
}

static void take_name(struct reading *reading, const char *text, size_t length, bool quoted)
{
	char shown[4 * NAME_LENGTH_MAX];
	bool good = !quoted && length <= NAME_LENGTH_MAX && text[0] >= 'a' && text[0] <= 'z';

	for (size_t i = 0; good && i < length; i++)
		good = is_lower_or_digit((unsigned char)text[i]) || text[i] == '-';
	if (!good) {
		text_quote(shown, sizeof(shown), text, length < NAME_LENGTH_MAX ? length : NAME_LENGTH_MAX);
		if (text[0] == '/' && !quoted)
			mistake(reading,
				"a statement begins with a word, as in watch \"/path\" { }; a comment begins with "
				"# and ends with its line");
		else
			mistake(reading, "a statement begins with a word, not with %s%s%s",
				quoted ? "the string \"" : "'", shown,
				quoted ? "\"; is a comma missing before it, or a quote too many?" : "'");
		return;
	}
	memcpy(reading->name, text, length);
	reading->name[length] = 0;
	reading->name_line = reading->line;
	if (strcmp(reading->name, "include") == 0) {
		mistake(reading, "there is no 'include': put further files into the folder <policy file>.d, with names "
				 "that end in .conf");
		return;
	}
	fprintf(reading->out, "%s ", reading->name);
	reading->expects = EXPECTS_AFTER_NAME;
}

static void no_block(struct reading *reading)
{
	reading->line = reading->name_line;
	mistake(reading,
		"'%s' needs an equal sign before its value (%s = ...), or a block after its title (%s ... { })",
		reading->name, reading->name, reading->name);
}

/* A word or a string, whichever of them: what it is depends on what stands before it. */
static void take_text(struct reading *reading, const char *text, size_t length, bool quoted)
{
	switch (reading->expects) {
	case EXPECTS_STATEMENT:
		take_name(reading, text, length, quoted);
		return;
	case EXPECTS_AFTER_NAME:
		reading->assignment++;
		put_value(reading, text, length);
		reading->expects = EXPECTS_BLOCK;
		return;
	case EXPECTS_BLOCK:
		no_block(reading);
		return;
	case EXPECTS_VALUE:
		put_value(reading, text, length);
		reading->expects = EXPECTS_STATEMENT;
		return;
	case EXPECTS_ITEM:
		put_value(reading, text, length);
		reading->expects = EXPECTS_SEPARATOR;
		return;
	case EXPECTS_SEPARATOR:
		mistake(reading, "a comma is missing between the values of '%s', or the closing brace after them",
			reading->name);
		return;
	}
}

static void open_brace(struct reading *reading)
{
	if (reading->expects == EXPECTS_VALUE) {
		fputs("{ ", reading->out);
		reading->expects = EXPECTS_ITEM;
		return;
	}
	if (reading->expects != EXPECTS_AFTER_NAME && reading->expects != EXPECTS_BLOCK) {
		mistake(reading, "an opening brace without a word before it: write watch \"/path\" { ... }");
		return;
	}
	if (reading->depth == DEPTH_MAX) {
		mistake(reading, "blocks are not nested that deeply: close the one of line %u first",
			reading->opened[DEPTH_MAX - 1]);
		return;
	}
	if (reading->expects == EXPECTS_AFTER_NAME) {
		reading->assignment++;
		put_value(reading, "", 0);
	}
	reading->opened[reading->depth++] = reading->line;
	fputs("{ ", reading->out);
	reading->expects = EXPECTS_STATEMENT;
}

static void close_brace(struct reading *reading)
{
	if (reading->expects == EXPECTS_ITEM || reading->expects == EXPECTS_SEPARATOR) {
		fputs("} ", reading->out);
		reading->expects = EXPECTS_STATEMENT;
		return;
	}
	if (reading->expects == EXPECTS_BLOCK) {
		no_block(reading);
		return;
	}
	if (reading->expects != EXPECTS_STATEMENT) {
		mistake(reading, "'%s' has no value: write %s = ...", reading->name, reading->name);
		return;
	}
	if (reading->depth == 0) {
		mistake(reading, "a closing brace too many: no block is open here, remove it");
		return;
	}
	reading->depth--;
	fputs("} ", reading->out);
}

static void take_mark(struct reading *reading, unsigned char mark)
{
	switch (mark) {
	case '{':
		open_brace(reading);
		return;
	case '}':
		close_brace(reading);
		return;
	case '=':
		if (reading->expects != EXPECTS_AFTER_NAME) {
			mistake(reading, "an equal sign belongs between one word and its value: mode = enforce");
			return;
		}
		reading->assignment++;
		fputs("+= ", reading->out);
		reading->expects = EXPECTS_VALUE;
		return;
	case ',':
		if (reading->expects != EXPECTS_SEPARATOR) {
			mistake(reading,
				"a comma stands between the values of a list only: roots = { \"/a\", \"/b\" }");
			return;
		}
		fputs(", ", reading->out);
		reading->expects = EXPECTS_ITEM;
		return;
	}
}

/* "..." or '...': everything up to the same quote is literal. */
static void take_string(struct reading *reading, unsigned char quote)
{
	size_t from = ++reading->at;

	for (;; reading->at++) {
		unsigned char c = peek(reading);
		if (reading->at == reading->source->size || c == '\n') {
			mistake(reading, "the string that begins here is not closed on its line: a %c is missing",
				quote);
			return;
		}
		if (c == quote)
			break;
		if (c < 0x20 || c == 0x7f) {
			mistake(reading, "control character \\x%02x in a string: remove it", c);
			return;
		}
	}
	take_text(reading, reading->source->text + from, reading->at++ - from, true);
}

static void refuse_character(struct reading *reading, unsigned char c)
{
	if (c == ';')
		mistake(reading, "no semicolons here: a statement ends with its value, remove it");
	else if (c == '\r')
		mistake(reading, "a carriage return: save the file with Unix line ends");
	else if (c == 0xef && reading->at == 0)
		mistake(reading, "the file begins with a byte order mark: save it as plain UTF-8");
	else if (c == 0)
		mistake(reading, "a zero byte: this is not a text file, write it anew");
	else if (c < 0x20 || c == 0x7f)
		mistake(reading, "control character \\x%02x: remove it", c);
	else if (c > 0x7f)
		mistake(reading, "byte \\x%02x outside a string: put the value in straight quotes \"...\"", c);
	else
		mistake(reading, "stray character '%c': put a value that has it in quotes \"...\"", c);
}

static void take_next(struct reading *reading)
{
	unsigned char c = peek(reading);

	if (c == '\n') {
		fputc('\n', reading->out);
		reading->line++;
		reading->at++;
	} else if (c == ' ' || c == '\t') {
		reading->at++;
	} else if (c == '#') {
		while (peek(reading) != '\n' && peek(reading) != 0)
			reading->at++;
	} else if (c == '"' || c == '\'') {
		take_string(reading, c);
	} else if (c == '{' || c == '}' || c == '=' || c == ',') {
		take_mark(reading, c);
		reading->at++;
	} else if (is_bare(c)) {
		size_t from = reading->at;
		while (is_bare(peek(reading)))
			reading->at++;
		take_text(reading, reading->source->text + from, reading->at - from, false);
	} else {
		refuse_character(reading, c);
	}
}

static void check_end(struct reading *reading)
{
	if (reading->expects == EXPECTS_AFTER_NAME || reading->expects == EXPECTS_VALUE)
		mistake(reading, "the file ends after '%s': its value is missing", reading->name);
	else if (reading->expects != EXPECTS_STATEMENT)
		mistake(reading, "the file ends within the statement '%s': a brace is missing", reading->name);
	else if (reading->depth > 0)
		mistake(reading, "the file ends inside the block that begins in line %u: a closing brace is missing",
			reading->opened[reading->depth - 1]);
}

char *policy_words_literal(const struct policy_source *source, struct complaints *complaints)
{
	char *text = NULL;
	size_t size = 0;
	struct reading reading = {
		.source = source, .complaints = complaints, .out = open_memstream(&text, &size), .line = 1};

	if (!reading.out) {
		mistake(&reading, "not enough memory to read it");
		return NULL;
	}
	while (!reading.failed && reading.at < source->size)
		take_next(&reading);
	if (!reading.failed)
		check_end(&reading);
	fputc('\n', reading.out);
	if (fclose(reading.out) != 0 && !reading.failed)
		mistake(&reading, "not enough memory to read it");
	if (reading.failed) {
		free(text);
		return NULL;
	}
	return text;
}

struct policy_word policy_word_of(const char *tagged)
{
	struct policy_word word = {0};
	char *end;

	word.line = (unsigned)strtoul(tagged, &end, 10);
	if (*end == '.')
		word.assignment = (unsigned)strtoul(end + 1, &end, 10);
	word.text = *end == ':' ? end + 1 : end;
	return word;
}
