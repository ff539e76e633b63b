// SPDX-License-Identifier: GPL-2.0-only
#include "dbox.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_SIZE 256 /* of the file's first line; Dovecot's has 19 bytes */
#define HEADER_MIN 30     /* magic, type, blank, 8 of old versions, blank, 16 digits, line end */
#define HEADER_MAX 4096
#define SIZE_AT 13 /* of the digits in a header */
#define SIZE_DIGITS 16

/* The byte at `at`, or -1: the end, or dbox->io. */
static int byte_at(struct dbox *dbox, uint64_t at)
{
	ssize_t got;

	if (at < dbox->held_from || at >= dbox->held_from + dbox->held) {
		if (at >= dbox->size)
			return -1;
		do
			got = pread(dbox->fd, dbox->bytes, sizeof(dbox->bytes), (off_t)at);
		while (got < 0 && errno == EINTR);
		dbox->io = dbox->io || got < 0;
		dbox->held_from = at;
		dbox->held = got > 0 ? (size_t)got : 0;
		if (got <= 0)
			return -1;
	}
	return dbox->bytes[at - dbox->held_from];
}

static int digit(int byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if ((byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F'))
		return (byte & 0xf) + 9;
	return -1;
}

/* A word of the first line, up to its end or a blank. 0: none, or too large. */
static uint32_t hex_word(const unsigned char *text, size_t size)
{
	uint32_t value = 0;

	for (size_t i = 0; i < size && text[i] != ' '; i++) {
		if (digit(text[i]) < 0 || value > HEADER_MAX)
			return 0;
		value = value * 16 + (uint32_t)digit(text[i]);
	}
	return value;
}

/* The line without its end: "2 M1e C5f3a...". */
static bool line_read(struct dbox *dbox, const unsigned char *line, size_t size)
{
	bool has_header = false;

	if (size < 4 || (line[0] != '1' && line[0] != '2') || line[1] != ' ')
		return false;
	for (size_t i = 2; i < size; i++) {
		if (line[i] < ' ' || line[i] > '~')
			return false;
		if (line[i - 1] == ' ' && line[i] == 'M') {
			dbox->header = hex_word(line + i + 1, size - i - 1);
			has_header = true;
		}
	}
	return has_header;
}

bool dbox_open(struct dbox *dbox, int fd)
{
	unsigned char line[LINE_MAX_SIZE];
	struct stat status;
	size_t length = 0;
	int byte = 0;

	dbox->fd = fd;
	dbox->at = dbox->held_from = dbox->held = dbox->header = 0;
	dbox->damaged = dbox->io = false;
	if (fstat(fd, &status) < 0 || status.st_size <= 0)
		return false;
	dbox->size = (uint64_t)status.st_size;
	while (length < sizeof(line) && (byte = byte_at(dbox, length)) >= 0 && byte != '\n')
		line[length++] = (unsigned char)byte;
	if (byte != '\n' || !line_read(dbox, line, length))
		return false;
	dbox->at = length + 1;
	if (byte_at(dbox, dbox->at) != 1 || byte_at(dbox, dbox->at + 1) != 2)
		return false;
	dbox->damaged = dbox->header < HEADER_MIN || dbox->header > HEADER_MAX;
	return true;
}

static enum dbox_end damage(struct dbox *dbox)
{
	dbox->damaged = true;
	return dbox->io ? DBOX_IO : DBOX_DAMAGED;
}

static bool header_read(struct dbox *dbox, uint64_t *size)
{
	if (byte_at(dbox, dbox->at) != 1 || byte_at(dbox, dbox->at + 1) != 2 ||
	    byte_at(dbox, dbox->at + dbox->header - 1) != '\n')
		return false;
	*size = 0;
	for (unsigned i = 0; i < SIZE_DIGITS; i++) {
		int value = digit(byte_at(dbox, dbox->at + SIZE_AT + i));
		if (value < 0)
			return false;
		*size = *size << 4 | (uint64_t)value;
	}
	return true;
}

/* The metadata at `at`, up to behind the line that ends it: an empty one, in old versions one that begins blank. */
static bool metadata_skip(struct dbox *dbox, uint64_t at)
{
	static const int magic[] = {'\n', 1, 3, '\n'};
	int byte, first;

	for (unsigned i = 0; i < 4; i++)
		if (byte_at(dbox, at++) != magic[i])
			return false;
	do {
		first = byte = byte_at(dbox, at++);
		while (byte >= 0 && byte != '\n')
			byte = byte_at(dbox, at++);
		if (byte < 0)
			return false;
	} while (first != '\n' && first != ' ');
	dbox->at = at;
	return true;
}

enum dbox_end dbox_next(struct dbox *dbox, uint64_t *offset, uint64_t *size)
{
	if (dbox->damaged)
		return damage(dbox);
	if (dbox->at >= dbox->size)
		return DBOX_END;
	if (!header_read(dbox, size))
		return damage(dbox);
	*offset = dbox->at + dbox->header;
	if (*offset > dbox->size || *size > dbox->size - *offset) {
		*size = *offset < dbox->size ? dbox->size - *offset : 0;
		damage(dbox);
	} else if (!metadata_skip(dbox, *offset + *size)) {
		damage(dbox);
	}
	return DBOX_MESSAGE;
}
