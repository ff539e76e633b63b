// SPDX-License-Identifier: GPL-2.0-only
#include "headers.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *at, *end;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next header with its continuation lines; false at the end of the head. */
static bool header_next(struct span *head, struct span *out)
{
	const char *end = head->at;

	if (head->at >= head->end || *head->at == '\n' || *head->at == '\r')
		return false;
	do {
		const char *newline = memchr(end, '\n', (size_t)(head->end - end));
		end = newline ? newline + 1 : head->end;
	} while (end < head->end && (*end == ' ' || *end == '\t'));
	*out = (struct span){head->at, end};
	head->at = end;
	return true;
}

/* Moves `header` behind "name:" (blanks before the colon are allowed), if that is its name. */
static bool header_is(struct span *header, const char *name)
{
	size_t length = strlen(name);
	const char *at = header->at + length;

	if ((size_t)(header->end - header->at) <= length || strncasecmp(header->at, name, length) != 0)
		return false;
	while (at < header->end && (*at == ' ' || *at == '\t'))
		at++;
	if (at == header->end || *at != ':')
		return false;
	header->at = at + 1;
	return true;
}

/* Behind a comment (they nest, RFC 5322) or a <...>, whose first character `text` stands on. */
static void bracket_skip(struct span *text)
{
	int depth = 0;
	char open = *text->at, close = open == '(' ? ')' : '>';

	for (; text->at < text->end; text->at++) {
		if (*text->at == '\\' && text->at + 1 < text->end)
			text->at++;
		else if (*text->at == open)
			depth++;
		else if (*text->at == close && --depth == 0)
			break;
	}
	if (text->at < text->end)
		text->at++;
}

/* The next word outside of brackets; ';' ends words and the search, since the date follows it. */
static bool word_next(struct span *text, struct span *word)
{
	while (text->at < text->end && *text->at != ';') {
		if (is_blank(*text->at)) {
			text->at++;
		} else if (*text->at == '(' || *text->at == '<') {
			bracket_skip(text);
		} else {
			word->at = text->at;
			while (text->at < text->end && !is_blank(*text->at) && !strchr(";(<", *text->at))
				text->at++;
			word->end = text->at;
			if (word->end > word->at)
				return true;
			text->at++; /* a zero byte, which strchr finds too */
		}
	}
	return false;
}

static bool word_is(const struct span *word, const char *text)
{
	size_t length = (size_t)(word->end - word->at);

	return length == strlen(text) && !strncasecmp(word->at, text, length);
}

static void received_read(struct span header, char queue_id[QUEUE_ID_SIZE])
{
	struct span word = {header.at, header.at};
	size_t length;

	while (word_next(&header, &word)) {
		if (word_is(&word, "with") && word_next(&header, &word)) {
			if (word.end - word.at >= 4 && !strncasecmp(word.at, "LMTP", 4))
				return;
		} else if (word_is(&word, "id") && word_next(&header, &word)) {
			break;
		}
		word.end = word.at;
	}
	if (word.end == word.at)
		return;
	length = (size_t)(word.end - word.at);
	if (length >= QUEUE_ID_SIZE)
		return;
	for (size_t i = 0; i < length; i++)
		if (!isascii((unsigned char)word.at[i]) || !isalnum((unsigned char)word.at[i]))
			return;
	memcpy(queue_id, word.at, length);
	queue_id[length] = 0;
}

static void message_id_read(struct span header, char message_id[MESSAGE_ID_SIZE])
{
	size_t length = 0;

	while (header.at < header.end && is_blank(*header.at))
		header.at++;
	while (header.at + length < header.end && !is_blank(header.at[length])) {
		if (header.at[length] < 0x21 || header.at[length] > 0x7e)
			return;
		length++;
	}
	if (length >= MESSAGE_ID_SIZE)
		return;
	memcpy(message_id, header.at, length);
	message_id[length] = 0;
}

void headers_read(const char *text, size_t size, char queue_id[QUEUE_ID_SIZE], char message_id[MESSAGE_ID_SIZE])
{
	struct span head = {text, text + (size < HEADERS_LOOKED_AT ? size : HEADERS_LOOKED_AT)}, header;
	bool id_seen = false;

	queue_id[0] = message_id[0] = 0;
	if (head.end - head.at >= 5 && !memcmp(head.at, "From ", 5))
		header_next(&head, &header);
	while (header_next(&head, &header)) {
		if (!memchr(header.at, ':', (size_t)(header.end - header.at)))
			return; /* no head of a message, or its end without the empty line */
		if (!queue_id[0] && header_is(&header, "Received")) {
			received_read(header, queue_id);
		} else if (!id_seen && header_is(&header, "Message-ID")) {
			id_seen = true;
			message_id_read(header, message_id);
		}
	}
}
