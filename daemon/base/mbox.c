// SPDX-License-Identifier: GPL-2.0-only
#include "mbox.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "From ", a sender, and somewhere behind a day of the week and hh:mm. */
bool mbox_is_from(const char *line, size_t size)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	bool day = false;

	if (size < 5 || memcmp(line, "From ", 5) != 0)
		return false;
	for (size_t i = 5; i + 4 < size; i++) {
		if (line[i] != ' ')
			continue;
		for (size_t d = 0; !day && d < sizeof(days) - 1; d += 3)
			day = memcmp(line + i + 1, days + d, 3) == 0;
		if (day && i + 5 < size && is_digit(line[i + 1]) && is_digit(line[i + 2]) && line[i + 3] == ':' &&
		    is_digit(line[i + 4]) && is_digit(line[i + 5]))
			return true;
	}
	return false;
}

/* How many bytes lie ready from `at` on; 0: the end, or mbox->io. */
static size_t ready(struct mbox *mbox, uint64_t at, const unsigned char **bytes)
{
	ssize_t got;

	if (at < mbox->held_from || at >= mbox->held_from + mbox->held) {
		do
			got = pread(mbox->fd, mbox->bytes, sizeof(mbox->bytes), (off_t)at);
		while (got < 0 && errno == EINTR);
		mbox->io = got < 0;
		mbox->held_from = at;
		mbox->held = got < 0 ? 0 : (size_t)got;
	}
	*bytes = mbox->bytes + (at - mbox->held_from);
	return (size_t)(mbox->held_from + mbox->held - at);
}

/* The beginning of the line at mbox->at, which then stands behind it. false: there is none. */
static bool line_next(struct mbox *mbox, char *line, size_t *size_out)
{
	const unsigned char *bytes, *end;
	size_t size = 0, got, part;

	if (ready(mbox, mbox->at, &bytes) == 0)
		return false;
	for (;;) {
		got = ready(mbox, mbox->at, &bytes);
		if (got == 0)
			break;
		end = memchr(bytes, '\n', got);
		part = end ? (size_t)(end - bytes) : got;
		memcpy(line + size, bytes, part < MBOX_LINE - size ? part : MBOX_LINE - size);
		size += part < MBOX_LINE - size ? part : MBOX_LINE - size;
		mbox->at += part + (end ? 1 : 0);
		if (end)
			break;
	}
	if (size > 0 && size < MBOX_LINE && line[size - 1] == '\r')
		size--;
	*size_out = size;
	return !mbox->io;
}

bool mbox_open(struct mbox *mbox, int fd)
{
	char line[MBOX_LINE];
	size_t size;

	mbox->fd = fd;
	mbox->io = false;
	mbox->at = mbox->held = mbox->held_from = 0;
	mbox->begun = UINT64_MAX;
	if (!line_next(mbox, line, &size) || !mbox_is_from(line, size))
		return false;
	mbox->begun = 0;
	mbox->message = mbox->at;
	return true;
}

bool mbox_next(struct mbox *mbox, struct mbox_message *message)
{
	char line[MBOX_LINE];
	bool empty = false;
	uint64_t from;
	size_t size;

	if (mbox->begun == UINT64_MAX || mbox->io)
		return false;
	message->from = mbox->begun;
	message->start = mbox->message;
	for (;;) {
		from = mbox->at;
		if (!line_next(mbox, line, &size))
			break;
		if (empty && mbox_is_from(line, size)) {
			message->end = mbox->begun = from;
			mbox->message = mbox->at;
			return true;
		}
		empty = size == 0;
	}
	message->end = mbox->at;
	mbox->begun = UINT64_MAX;
	return !mbox->io;
}
