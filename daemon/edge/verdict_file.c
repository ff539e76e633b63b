// SPDX-License-Identifier: GPL-2.0-only
#include "verdict_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x4d57564b30303031ull
#define SHORT offsetof(struct kept_verdict, verdict)
#define WHOLE sizeof(struct kept_verdict)
#define BATCH 65536u
#define NEW_NAME VERDICT_FILE ".new"

struct head {
	uint64_t magic;
	uint32_t record_size; /* WHOLE: of this version */
	uint32_t count;
	uint64_t sum; /* over what follows */
};

/* A file in pieces, and the sum over them. */
struct stream {
	int fd;
	size_t used, at;
	uint64_t sum;
	uint8_t bytes[BATCH];
};

static uint64_t sum_of(uint64_t sum, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3ull;
	return sum;
}

/* ---- reading ---- */

/* 1: got them all; 0: the end comes first; or -errno. */
static int take(struct stream *stream, void *out, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t part = stream->used - stream->at < size - done ? stream->used - stream->at : size - done;
		if (part == 0) {
			ssize_t got = read(stream->fd, stream->bytes, sizeof(stream->bytes));
			if (got <= 0)
				return got < 0 ? -errno : 0;
			stream->used = (size_t)got;
			stream->at = 0;
			continue;
		}
		memcpy((uint8_t *)out + done, stream->bytes + stream->at, part);
		stream->at += part;
		done += part;
	}
	return 1;
}

static bool printable(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	for (size_t i = 0; i < length; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return length < size;
}

/* A verdict that fits no case of a policy would get the answer of another one. */
static bool verdict_is_sound(const struct verdict *verdict)
{
	bool named = verdict->signature[0] != 0, has_reason = verdict->reason != REASON_NONE;

	if (verdict->reason >= REASONS || verdict->heuristics >= 1 << HEURISTICS ||
	    !printable(verdict->signature, sizeof(verdict->signature)))
		return false;
	if (verdict->kind == VERDICT_CLEAN)
		return !named && !has_reason && !verdict->heuristics;
	if (verdict->kind == VERDICT_INFECTED)
		return named && (!has_reason || verdict->heuristics);
	return verdict->kind == VERDICT_UNSCANNED && !named && has_reason && !verdict->heuristics;
}

static bool is_sound(const struct kept_verdict *kept)
{
	return kept->definitions != 0 && kept->generation.handle_size > 0 &&
	       kept->generation.handle_size <= HANDLE_SIZE && verdict_is_sound(&kept->verdict) &&
	       printable(kept->detail, sizeof(kept->detail)) && printable(kept->queue_id, sizeof(kept->queue_id)) &&
	       printable(kept->message_id, sizeof(kept->message_id));
}

/* Goes through all of it; each NULL: only to see whether it is whole. */
static int go_through(struct stream *stream, void (*each)(void *owner, const struct kept_verdict *kept), void *owner)
{
	struct kept_verdict kept;
	struct head head = {0};
	uint64_t sum = 0;
	uint32_t size = 0;

	if (take(stream, &head, sizeof(head)) != 1 || head.magic != MAGIC || head.record_size != WHOLE ||
	    head.count > VERDICT_FILE_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < head.count; i++) {
		kept = (struct kept_verdict){.verdict.kind = VERDICT_CLEAN};
		if (take(stream, &size, sizeof(size)) != 1 || (size != SHORT && size != WHOLE) ||
		    take(stream, &kept, size) != 1)
			return -EBADMSG;
		sum = sum_of(sum_of(sum, (uint8_t *)&size, sizeof(size)), (uint8_t *)&kept, size);
		if (each && is_sound(&kept))
			each(owner, &kept);
	}
	if (sum != head.sum || take(stream, &size, 1) != 0)
		return -EBADMSG;
	return (int)head.count;
}

int verdict_file_load(int directory, void (*each)(void *owner, const struct kept_verdict *kept), void *owner)
{
	static struct stream stream;
	struct stat status;
	int result;

	stream.fd = openat(directory, VERDICT_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (stream.fd < 0)
		return -errno;
	if (fstat(stream.fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
	    (status.st_mode & 07777) != 0600 || status.st_nlink != 1) {
		close(stream.fd);
		return -EPERM;
	}
	stream.used = stream.at = 0;
	result = go_through(&stream, NULL, NULL);
	if (result >= 0 && lseek(stream.fd, 0, SEEK_SET) == 0) {
		stream.used = stream.at = 0;
		result = go_through(&stream, each, owner);
	}
	close(stream.fd);
	return result;
}

/* ---- writing ---- */

static int flush(struct stream *stream)
{
	for (size_t done = 0; done < stream->used;) {
		ssize_t put = write(stream->fd, stream->bytes + done, stream->used - done);
		if (put < 0)
			return -errno;
		done += (size_t)put;
	}
	stream->used = 0;
	return 0;
}

static int append(struct stream *stream, const void *bytes, size_t size)
{
	int error = stream->used + size > sizeof(stream->bytes) ? flush(stream) : 0;

	if (error)
		return error;
	memcpy(stream->bytes + stream->used, bytes, size);
	stream->used += size;
	return 0;
}

static int put(struct stream *stream, const void *bytes, size_t size)
{
	stream->sum = sum_of(stream->sum, bytes, size);
	return append(stream, bytes, size);
}

static int put_all(struct stream *stream, bool (*next)(void *owner, struct kept_verdict *kept_out),
		   void (*alive)(void *owner), void *owner)
{
	struct head head = {.magic = MAGIC, .record_size = WHOLE};
	struct kept_verdict kept = {0};
	int error = append(stream, &head, sizeof(head));

	while (!error && head.count < VERDICT_FILE_MAX && next(owner, &kept)) {
		uint32_t size = kept.verdict.kind == VERDICT_CLEAN ? SHORT : WHOLE;
		error = put(stream, &size, sizeof(size));
		if (!error)
			error = put(stream, &kept, size);
		if (++head.count % 256 == 0)
			alive(owner);
	}
	if (!error)
		error = flush(stream);
	head.sum = stream->sum;
	if (!error && pwrite(stream->fd, &head, sizeof(head), 0) != sizeof(head))
		error = -EIO;
	return error ? error : (int)head.count;
}

int verdict_file_save(int directory, bool (*next)(void *owner, struct kept_verdict *kept_out),
		      void (*alive)(void *owner), void *owner)
{
	static struct stream stream;
	int result;

	unlinkat(directory, NEW_NAME, 0);
	stream.fd = openat(directory, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (stream.fd < 0)
		return -errno;
	stream.used = 0;
	stream.sum = 0;
	result = put_all(&stream, next, alive, owner);
	close(stream.fd);
	if (result >= 0 && renameat(directory, NEW_NAME, directory, VERDICT_FILE) < 0)
		result = -errno;
	if (result < 0)
		unlinkat(directory, NEW_NAME, 0);
	return result;
}

void verdict_file_remove(int directory)
{
	unlinkat(directory, VERDICT_FILE, 0);
}
