// SPDX-License-Identifier: GPL-2.0-only
#include "unwrap.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JUMPS_MAX 10000
#define SMALL 64 /* longer jump records do not occur */

struct queue_file {
	int in, out;
	uint64_t at, budget; /* bytes that may still be read: jumps may lead backwards */
	uint64_t room;       /* bytes that may still be written */
	unsigned jumps;
	size_t held, pending;
	uint64_t held_from;
	unsigned char in_bytes[65536], out_bytes[65536];
	enum unwrap_end end;
};

static bool fail(struct queue_file *file, enum unwrap_end end)
{
	file->end = end;
	return false;
}

/* How many bytes lie ready from file->at on, 0 at the end of the file. */
static size_t bytes_ready(struct queue_file *file, const unsigned char **bytes)
{
	ssize_t got;

	if (file->at < file->held_from || file->at >= file->held_from + file->held) {
		do
			got = pread(file->in, file->in_bytes, sizeof(file->in_bytes), (off_t)file->at);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			fail(file, UNWRAP_IO);
		file->held_from = file->at;
		file->held = got < 0 ? 0 : (size_t)got;
	}
	*bytes = file->in_bytes + (file->at - file->held_from);
	return (size_t)(file->held_from + file->held - file->at);
}

static bool byte_next(struct queue_file *file, unsigned char *out)
{
	const unsigned char *bytes;

	if (file->budget == 0 || bytes_ready(file, &bytes) == 0)
		return fail(file, file->end == UNWRAP_IO ? UNWRAP_IO : UNWRAP_DAMAGED);
	*out = *bytes;
	file->at++;
	file->budget--;
	return true;
}

static bool flush(struct queue_file *file)
{
	size_t done = 0;

	while (done < file->pending) {
		ssize_t wrote = write(file->out, file->out_bytes + done, file->pending - done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return fail(file, UNWRAP_IO);
		done += (size_t)wrote;
	}
	file->pending = 0;
	return true;
}

static bool put(struct queue_file *file, const unsigned char *bytes, size_t size)
{
	if (size > file->room)
		return fail(file, UNWRAP_TOO_LARGE);
	file->room -= size;
	while (size > 0) {
		size_t part = sizeof(file->out_bytes) - file->pending;
		if (part > size)
			part = size;
		memcpy(file->out_bytes + file->pending, bytes, part);
		file->pending += part;
		bytes += part;
		size -= part;
		if (file->pending == sizeof(file->out_bytes) && !flush(file))
			return false;
	}
	return true;
}

/* The data of a record into the output. */
static bool copy(struct queue_file *file, uint64_t size)
{
	const unsigned char *bytes;

	while (size > 0) {
		size_t ready = bytes_ready(file, &bytes);
		if (ready > size)
			ready = (size_t)size;
		if (ready == 0 || ready > file->budget)
			return fail(file, file->end == UNWRAP_IO ? UNWRAP_IO : UNWRAP_DAMAGED);
		if (!put(file, bytes, ready))
			return false;
		file->at += ready;
		file->budget -= ready;
		size -= ready;
	}
	return true;
}

static bool record_next(struct queue_file *file, unsigned char *type, uint64_t *size)
{
	unsigned char byte;

	*size = 0;
	if (!byte_next(file, type))
		return false;
	for (unsigned shift = 0;; shift += 7) {
		if (shift >= 31) /* Postfix keeps it in an int */
			return fail(file, UNWRAP_DAMAGED);
		if (!byte_next(file, &byte))
			return false;
		*size |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
}

/* A p record: where to read on, in decimal with blanks around; 0: right behind it. */
static bool jump(struct queue_file *file, uint64_t size)
{
	uint64_t target = 0;
	bool digits_ended = false, digits = false;

	if (size >= SMALL || ++file->jumps > JUMPS_MAX)
		return fail(file, UNWRAP_DAMAGED);
	while (size-- > 0) {
		unsigned char byte;
		if (!byte_next(file, &byte))
			return false;
		if (byte >= '0' && byte <= '9' && !digits_ended && target < UINT64_MAX / 100)
			target = target * 10 + (byte - '0'), digits = true;
		else if (byte == ' ')
			digits_ended = digits;
		else
			return fail(file, UNWRAP_DAMAGED);
	}
	if (target > INT64_MAX)
		return fail(file, UNWRAP_DAMAGED);
	if (target > 0)
		file->at = target;
	return true;
}

static void skip(struct queue_file *file, uint64_t size)
{
	file->at += size;
}

static bool records_read(struct queue_file *file)
{
	bool in_message = false;
	unsigned char type;
	uint64_t size;

	while (record_next(file, &type, &size)) {
		if (type == 'p') {
			if (!jump(file, size))
				return false;
		} else if (type == 'M' && !in_message) {
			in_message = true;
			skip(file, size);
		} else if (!in_message || type == 'w') {
			skip(file, size);
		} else if (type == 'N' || type == 'L') {
			if (!copy(file, size) || (type == 'N' && !put(file, (const unsigned char *)"\n", 1)))
				return false;
		} else if (type == 'X') {
			return flush(file);
		} else {
			return fail(file, UNWRAP_DAMAGED);
		}
	}
	return false;
}

enum unwrap_end unwrap_postfix(int in, int out, uint64_t limit)
{
	static struct queue_file file; /* one at a time; too big for a stack */
	const unsigned char *bytes;
	struct stat status;

	file.in = in;
	file.out = out;
	file.room = limit;
	file.at = file.held = file.held_from = file.pending = file.jumps = 0;
	file.end = UNWRAP_DONE;
	if (fstat(in, &status) < 0)
		return UNWRAP_IO;
	file.budget = 4 * (uint64_t)status.st_size + 65536;
	if (bytes_ready(&file, &bytes) == 0)
		return file.end ? file.end : UNWRAP_NO_QUEUE_FILE;
	if (bytes[0] != 'C')
		return UNWRAP_NO_QUEUE_FILE;
	return records_read(&file) ? UNWRAP_DONE : file.end;
}
