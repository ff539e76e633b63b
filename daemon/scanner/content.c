// SPDX-License-Identifier: GPL-2.0-only
#include "content.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbox.h"
#include "headers.h"
#include "loop.h"
#include "mbox.h"
#include "second.h"
#include "unpack.h"

#define AGAIN_MAX 16 /* messages taken out of one look */
#define TINY 6       /* libclamav does not look at files below this size */
#define MAX_SCAN_TIME "Heuristics.Limits.Exceeded.MaxScanTime"
#define MAX_FILE_SIZE "Heuristics.Limits.Exceeded.MaxFileSize"
#define MAX_SCAN_SIZE "Heuristics.Limits.Exceeded.MaxScanSize"
#define MAX_FILES "Heuristics.Limits.Exceeded.MaxFiles"

struct content {
	struct engine *engine;
	const struct scanner_settings *settings;
	struct findings *findings;
	struct scan_reply *reply;
	uint64_t until_ns;    /* when all of it must be done */
	uint64_t room;        /* bytes that may still be taken out of the file */
	int given;            /* the descriptor that the gate sent; every other one is of a file of our own */
	int again[AGAIN_MAX]; /* files of our own, to be looked at */
	unsigned again_count;
	char clamd_said[SECOND_SAID]; /* empty: it was not asked */
};

void content_unscanned(struct scan_reply *reply, enum verdict_reason reason, const char *detail)
{
	reply->verdict = (struct verdict){.kind = VERDICT_UNSCANNED, .reason = (uint8_t)reason};
	snprintf(reply->detail, sizeof(reply->detail), "%s", detail);
}

int content_file(void)
{
	int fd = open("/message", O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd >= 0)
		unlink("/message");
	return fd;
}

/* A copy with line ends behind it. */
static int padded(int fd, size_t size)
{
	char bytes[TINY];
	int out;

	memset(bytes, '\n', sizeof(bytes));
	if (pread(fd, bytes, size, 0) != (ssize_t)size)
		return -1;
	out = content_file();
	if (out >= 0 && write(out, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) {
		close(out);
		return -1;
	}
	return out;
}

static void headers_note(struct content *content, int fd, uint64_t at)
{
	static char text[HEADERS_LOOKED_AT];
	ssize_t size = pread(fd, text, sizeof(text), (off_t)at);

	if (size > 0)
		headers_read(text, (size_t)size, content->reply->queue_id, content->reply->message_id);
}

/* Is what came out, if all of it did not, to be looked at all the same? */
static bool unpacked_note(struct content *content, enum packing packing, enum unpack_end end, bool whole_room)
{
	char text[FINDING_SIZE];

	switch (end) {
	case UNPACK_DONE:
		return true;
	case UNPACK_DAMAGED:
		snprintf(text, sizeof(text), "%s that does not open", packing_name(packing));
		findings_unsupported(content->findings, text);
		return true;
	case UNPACK_TOO_LARGE:
		findings_name(content->findings, whole_room ? MAX_SCAN_SIZE : MAX_FILE_SIZE);
		return false;
	case UNPACK_TIME:
		findings_name(content->findings, MAX_SCAN_TIME);
		return false;
	case UNPACK_IO:
		findings_error(content->findings, REASON_IO_ERROR,
			       "a stored message could not be read, or written to memory");
		return false;
	case UNPACK_MEMORY:
		break;
	}
	findings_error(content->findings, REASON_ENGINE_ERROR, "no memory to unpack a stored message");
	return false;
}

/* A file of its own with what `size` bytes at `at` hold; -1: it has been noted why there is nothing to look at. */
static int take_out(struct content *content, enum packing packing, int fd, uint64_t at, uint64_t size)
{
	uint64_t limit = content->settings->max_file_size;
	bool whole_room = content->room < limit;
	int out = content_file();
	enum unpack_end end;
	off_t came;

	if (out < 0) {
		findings_error(content->findings, REASON_IO_ERROR, "no room for a stored message");
		return -1;
	}
	if (whole_room)
		limit = content->room;
	end = unpack(packing, fd, at, size, out, limit, content->until_ns);
	came = lseek(out, 0, SEEK_CUR);
	content->room -= came > 0 && (uint64_t)came <= content->room ? (uint64_t)came : 0;
	if (unpacked_note(content, packing, end, whole_room))
		return out;
	close(out);
	return -1;
}

/* Only files of our own are handed out: in full mode nobody else may read the one that is being judged, and nobody can
 * change a copy. */
static void clamd_look(struct content *content, int fd)
{
	struct stat status;
	uint64_t room = content->room;
	int copy = fd;

	if (fd == content->given) {
		if (fstat(fd, &status) < 0) {
			findings_error(content->findings, REASON_IO_ERROR, "fstat failed");
			return;
		}
		content->room = content->settings->max_scan_size;
		copy = take_out(content, PACKING_NONE, fd, 0, (uint64_t)status.st_size);
		content->room = room;
	}
	if (copy < 0)
		return;
	second_look(content->findings, copy, content->until_ns, content->clamd_said);
	if (copy != fd)
		close(copy);
}

static void engine_look(struct content *content, int fd)
{
	unsigned before = content->findings->layers;
	uint64_t now = now_ns();

	if (now >= content->until_ns) {
		findings_name(content->findings, MAX_SCAN_TIME);
		return;
	}
	engine_time(content->engine, 1 + (content->until_ns - now) / 1000000u);
	engine_scan(content->engine, fd, content->findings);
	if (content->findings->layers == before)
		findings_error(content->findings, REASON_ENGINE_ERROR, "it looked at nothing");
	if (content->settings->engine == ENGINE_CLAMD)
		clamd_look(content, fd);
}

/* libclamav knows a message by the names of its first headers, which its sender may choose. With another one before
 * them it takes the copy for what it is. */
static bool again_take(void *owner, const unsigned char *bytes, size_t size)
{
	static const char first[] = "Delivered-To: mailward\n";
	struct content *content = owner;
	int out;

	if (content->again_count == AGAIN_MAX || size > content->room)
		return false;
	out = content_file();
	if (out < 0)
		return false;
	if (write(out, first, sizeof(first) - 1) != sizeof(first) - 1 || write(out, bytes, size) != (ssize_t)size) {
		close(out);
		return false;
	}
	content->room -= size;
	content->again[content->again_count++] = out;
	return true;
}

/* What was taken in a look; a look at that may take more, as long as there is room. */
static void again_look(struct content *content)
{
	content->findings->copy = true;
	while (content->again_count > 0) {
		int fd = content->again[--content->again_count];
		engine_look(content, fd);
		close(fd);
	}
	content->findings->copy = false;
}

/* The bytes of fd as they are. */
static void file_look(struct content *content, int fd)
{
	struct stat status;
	int small;

	if (fstat(fd, &status) < 0) {
		findings_error(content->findings, REASON_IO_ERROR, "fstat failed");
	} else if (status.st_size == 0) { /* a stored message may be empty: there is nothing in it */
		content->findings->layers++;
	} else if (status.st_size >= TINY) {
		engine_look(content, fd);
		again_look(content);
	} else {
		small = padded(fd, (size_t)status.st_size);
		if (small < 0) {
			findings_error(content->findings, REASON_IO_ERROR, "no room for a copy of the small file");
			return;
		}
		engine_look(content, small);
		close(small);
	}
}

/* *text: it begins as a mail does that is neither compressed nor encrypted. */
static enum packing packing_at(int fd, uint64_t at, uint64_t size, bool *text)
{
	unsigned char bytes[PACKING_LOOKED_AT];
	ssize_t got = pread(fd, bytes, size < sizeof(bytes) ? (size_t)size : sizeof(bytes), (off_t)at);
	enum packing packing = packing_of(bytes, got > 0 ? (size_t)got : 0);

	*text = packing == PACKING_NONE && got == sizeof(bytes);
	for (ssize_t i = 0; i < got; i++)
		*text = *text && ((bytes[i] >= ' ' && bytes[i] <= '~') || bytes[i] == '\n' || bytes[i] == '\r');
	return packing;
}

/* A message of a dbox file, which has been looked at as a whole: libclamav sees the mail in there, if it is stored as
 * it came and is the only one. Of the message that is infected, or the only one, the head is noted. */
static void message_look(struct content *content, int fd, unsigned number, bool only, uint64_t at, uint64_t size)
{
	struct scan_reply *reply = content->reply;
	bool text, found = content->findings->infected[0] != 0;
	enum packing packing = packing_at(fd, at, size, &text);
	int out;

	if (only && text && content->findings->mail) {
		headers_note(content, fd, at);
		return;
	}
	out = take_out(content, packing, fd, at, size);
	if (out < 0)
		return;
	file_look(content, out);
	if (only || (!found && content->findings->infected[0]))
		headers_note(content, out, 0);
	close(out);
	if (!found && content->findings->infected[0])
		snprintf(reply->detail, sizeof(reply->detail), MESSAGE_AT, number, (unsigned long long)at);
}

/* Is there another message behind this one? */
static bool is_last(const struct dbox *dbox)
{
	static struct dbox ahead;
	uint64_t at, size;

	ahead = *dbox;
	return dbox_next(&ahead, &at, &size) != DBOX_MESSAGE;
}

/* false: it is no dbox file. */
static bool messages_look(struct content *content, int fd)
{
	static struct dbox dbox;
	uint64_t at, size;
	enum dbox_end end;

	if (!dbox_open(&dbox, fd))
		return false;
	for (unsigned number = 1; (end = dbox_next(&dbox, &at, &size)) == DBOX_MESSAGE; number++) {
		if (number > content->settings->max_files) {
			findings_name(content->findings, MAX_FILES);
			return true;
		}
		message_look(content, fd, number, number == 1 && is_last(&dbox), at, size);
		if (content->findings->error[0])
			return true;
		if (now_ns() > content->until_ns) {
			findings_name(content->findings, MAX_SCAN_TIME);
			return true;
		}
	}
	if (end == DBOX_DAMAGED)
		findings_unsupported(content->findings, "dbox that is damaged or not finished");
	if (end == DBOX_IO)
		findings_error(content->findings, REASON_IO_ERROR, "the dbox file could not be read");
	return true;
}

/* Looks at one message of a file of many by itself. true: it is the one; its head and its place are noted. */
static bool message_is_it(struct content *content, int fd, unsigned number, uint64_t at, uint64_t start, uint64_t size)
{
	struct findings *before = content->findings, own = {.again = again_take, .owner = content};
	bool text;
	int out;

	content->findings = &own;
	out = take_out(content, packing_at(fd, start, size, &text), fd, start, size);
	if (out >= 0) {
		file_look(content, out);
		if (own.infected[0])
			headers_note(content, out, 0);
		close(out);
	}
	content->findings = before;
	if (own.infected[0])
		snprintf(content->reply->detail, sizeof(content->reply->detail), MESSAGE_AT, number,
			 (unsigned long long)at);
	return own.infected[0] != 0;
}

/* The file as a whole is infected: which of its messages is it? For whoever is to take that one out; it takes part in
 * the limits of the scan, and is left where these are reached. */
static void message_find(struct content *content, int fd)
{
	static struct mbox mbox;
	static struct dbox dbox;
	struct mbox_message message;
	uint64_t at, size;
	bool found = false;

	content->room = content->settings->max_scan_size;
	if (mbox_open(&mbox, fd)) {
		content->reply->message_id[0] = content->reply->queue_id[0] = 0; /* of the first one */
		for (unsigned number = 1; !found && number <= content->settings->max_files &&
					  now_ns() < content->until_ns && mbox_next(&mbox, &message);
		     number++)
			found = message_is_it(content, fd, number, message.from, message.start,
					      message.end - message.start);
	} else if (dbox_open(&dbox, fd)) {
		for (unsigned number = 1; !found && number <= content->settings->max_files &&
					  now_ns() < content->until_ns && dbox_next(&dbox, &at, &size) == DBOX_MESSAGE;
		     number++)
			found = message_is_it(content, fd, number, at, at, size);
	}
}

static void case_look(struct content *content, int fd, uint64_t size)
{
	bool text;
	enum packing packing = packing_at(fd, 0, size, &text);
	int out;

	if (packing == PACKING_NONE) {
		file_look(content, fd);
		if (!messages_look(content, fd))
			headers_note(content, fd, 0);
		if (content->findings->infected[0] && !content->reply->detail[0])
			message_find(content, fd);
		return;
	}
	out = take_out(content, packing, fd, 0, size);
	if (out < 0)
		return;
	headers_note(content, out, 0);
	file_look(content, out);
	close(out);
}

static void clamd_tell(const struct content *content)
{
	char *detail = content->reply->detail;
	size_t used = strlen(detail);

	if (content->clamd_said[0] && used < sizeof(content->reply->detail) - 1)
		snprintf(detail + used, sizeof(content->reply->detail) - used, "%sclamd: %s", used ? "; " : "",
			 content->clamd_said);
}

void content_scan(struct engine *engine, const struct scanner_settings *settings, int fd, struct scan_reply *reply)
{
	struct findings findings = {.again = again_take};
	struct content content = {.engine = engine,
				  .settings = settings,
				  .findings = &findings,
				  .reply = reply,
				  .until_ns = now_ns() + settings->scan_time_ms * 1000000ull,
				  .room = settings->max_scan_size,
				  .given = fd};
	char detail[sizeof(reply->detail)] = "";
	size_t used;
	struct stat status;

	findings.owner = &content;
	if (fstat(fd, &status) < 0) {
		content_unscanned(reply, REASON_IO_ERROR, "fstat failed");
		return;
	}
	if (status.st_size == 0) {
		reply->verdict.kind = VERDICT_CLEAN;
		snprintf(reply->detail, sizeof(reply->detail), "empty");
		return;
	}
	if (settings->engine == ENGINE_CLAMD)
		findings.engine = "engines";
	case_look(&content, fd, (uint64_t)status.st_size);
	judge(&findings, &reply->verdict, detail, sizeof(detail));
	if (reply->verdict.kind != VERDICT_INFECTED)
		reply->detail[0] = 0;
	used = strlen(reply->detail); /* which stored message it is */
	snprintf(reply->detail + used, sizeof(reply->detail) - used, "%s%s", used && detail[0] ? "; " : "", detail);
	clamd_tell(&content);
	judge_names(&findings, reply);
	reply->last = findings.spoke || findings.error[0] != 0;
}
