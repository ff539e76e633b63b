// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048 /* below PIPE_BUF (4096): poll says there is room for that much, pipe(7) */

static const char *process_name = "mailwardd";
static unsigned long dropped;

void log_open(const char *process)
{
	process_name = process;
}

/* Length of the valid UTF-8 character at text (RFC 3629), or 0. Control characters, C1 included, count as invalid, as
 * do the characters that turn the direction of text. */
static size_t character_length(const unsigned char *text, size_t left)
{
	size_t length;
	uint32_t value;

	if (text[0] < 0x20 || text[0] == 0x7f || text[0] == '\\')
		return 0;
	if (text[0] < 0x80)
		return 1;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		length = 2, value = text[0] & 0x1f;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		length = 3, value = text[0] & 0x0f;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		length = 4, value = text[0] & 0x07;
	else
		return 0;
	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (text[i] & 0x3f);
	}
	if ((length == 3 && value < 0x800) || (length == 4 && (value < 0x10000 || value > 0x10ffff)) ||
	    (value >= 0xd800 && value <= 0xdfff) || (value >= 0x80 && value <= 0x9f))
		return 0;
	if ((value >= 0x202a && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069) || value == 0x200e ||
	    value == 0x200f || value == 0x2028 || value == 0x2029 || value == 0x61c)
		return 0;
	return length;
}

size_t text_quote(char *out, size_t size, const char *text, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = (const unsigned char *)text;
	size_t used = 0;

	for (size_t i = 0; i < length;) {
		size_t whole = character_length(bytes + i, length - i);
		size_t need = whole ? whole : 4;
		if (used + need + 1 > size)
			break;
		if (whole) {
			memcpy(out + used, bytes + i, whole);
		} else {
			out[used] = '\\';
			out[used + 1] = 'x';
			out[used + 2] = digits[bytes[i] >> 4];
			out[used + 3] = digits[bytes[i] & 15];
		}
		used += need;
		i += whole ? whole : 1;
	}
	out[used] = 0;
	return used;
}

void log_line(const char *format, ...)
{
	char text[LINE_MAX_BYTES / 4], quoted[LINE_MAX_BYTES - 128], line[LINE_MAX_BYTES];
	struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
	va_list arguments;
	int length;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text_quote(quoted, sizeof(quoted), text, strlen(text));
	if (dropped)
		length = snprintf(line, sizeof(line), "%s: (%lu lines dropped) %s\n", process_name, dropped, quoted);
	else
		length = snprintf(line, sizeof(line), "%s: %s\n", process_name, quoted);
	if (poll(&standard_error, 1, 0) != 1 || !(standard_error.revents & POLLOUT) ||
	    write(STDERR_FILENO, line, (size_t)length) != length)
		dropped++;
	else
		dropped = 0;
}
