// SPDX-License-Identifier: GPL-2.0-only
#include "exim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOKED_AT 65536
#define BASE64_LINE 40 /* characters; a word of text is shorter */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* "1tEdAB-000000001Xy-2abc-D\n", "1aBcDe-0001Fg-2H-D\n": three words of letters and digits. Returns its length; 0: it
 * is none. */
static size_t name_length(const char *text, size_t size)
{
	static const size_t least[3] = {6, 6, 2}, most[3] = {6, 11, 4};
	size_t at = 0;

	for (int word = 0; word < 3; word++) {
		size_t from = at;
		while (at < size && is_alnum(text[at]))
			at++;
		if (at - from < least[word] || at - from > most[word] || at >= size || text[at++] != '-')
			return 0;
	}
	return size - at >= 2 && text[at] == 'D' && text[at + 1] == '\n' ? at + 2 : 0;
}

static size_t beginning(int fd, char *text)
{
	ssize_t got;

	do
		got = pread(fd, text, LOOKED_AT, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? 0 : (size_t)got;
}

bool exim_is_body(int fd)
{
	char text[40];
	ssize_t got = pread(fd, text, sizeof(text), 0);

	return got > 0 && name_length(text, (size_t)got) > 0;
}

/* The first line that begins with two hyphens, without quotes or control characters: what a boundary may be (RFC 2046).
 */
static size_t boundary_find(const char *text, size_t size, const char **found)
{
	const char *line = text, *end = text + size;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t length = (size_t)((newline ? newline : end) - line);
		if (length > 0 && line[length - 1] == '\r')
			length--;
		if (length > 2 && length <= 72 && line[0] == '-' && line[1] == '-') {
			size_t at = 2;
			while (at < length && line[at] > ' ' && line[at] <= '~' && line[at] != '"' && line[at] != '\\')
				at++;
			if (at == length) {
				*found = line + 2;
				return length - 2;
			}
		}
		if (!newline)
			break;
		line = newline + 1;
	}
	return 0;
}

static bool is_base64(const char *text, size_t size)
{
	size_t length = 0;

	while (length < size && (is_alnum(text[length]) || text[length] == '+' || text[length] == '/'))
		length++;
	return length >= BASE64_LINE && length < size &&
	       (text[length] == '\n' || text[length] == '\r' || text[length] == '=');
}

static bool put(int out, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t wrote = write(out, bytes, size);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		bytes += wrote;
		size -= (size_t)wrote;
	}
	return true;
}

enum unwrap_end exim_unwrap(int in, int out, uint64_t limit)
{
	static char text[LOOKED_AT];
	char header[256];
	const char *boundary = NULL;
	size_t size = beginning(in, text), name = name_length(text, size), length;
	uint64_t at = name, done = 0;
	ssize_t got;

	if (!name)
		return UNWRAP_NO_QUEUE_FILE;
	length = boundary_find(text + name, size - name, &boundary);
	if (length)
		snprintf(header, sizeof(header),
			 "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"%.*s\"\n\n", (int)length,
			 boundary);
	else
		snprintf(header, sizeof(header), "From: exim\nMIME-Version: 1.0\n%s\n",
			 is_base64(text + name, size - name) ? "Content-Type: application/octet-stream\n"
							       "Content-Transfer-Encoding: base64\n"
							     : "Content-Type: text/plain\n");
	if (!put(out, header, strlen(header)))
		return UNWRAP_IO;
	while ((got = pread(in, text, sizeof(text), (off_t)at)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return UNWRAP_IO;
		done += (uint64_t)got;
		if (done > limit)
			return UNWRAP_TOO_LARGE;
		if (!put(out, text, (size_t)got))
			return UNWRAP_IO;
		at += (uint64_t)got;
	}
	return UNWRAP_DONE;
}
