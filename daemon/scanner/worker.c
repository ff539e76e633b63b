// SPDX-License-Identifier: GPL-2.0-only
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canary.h"
#include "frame.h"
#include "headers.h"
#include "unwrap.h"

#define TINY 6 /* libclamav does not look at files below this size */

static void unscanned(struct scan_reply *reply, enum verdict_reason reason, const char *detail)
{
	reply->verdict = (struct verdict){.kind = VERDICT_UNSCANNED, .reason = (uint8_t)reason};
	snprintf(reply->detail, sizeof(reply->detail), "%s", detail);
}

/* A file of our own, without a name. -1: errno says why. */
static int file_new(void)
{
	int fd = open("/message", O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd >= 0)
		unlink("/message");
	return fd;
}

/* Takes the framing off. Returns the descriptor to scan: a new one, `fd` itself where it is no queue file, or -1 with
 * the reply filled in. */
static int framing_remove(int fd, const struct scanner_settings *settings, struct scan_reply *reply)
{
	int out = file_new();

	if (out < 0) {
		unscanned(reply, REASON_IO_ERROR, "no room for the message of the queue file");
		return -1;
	}
	switch (unwrap_postfix(fd, out, settings->max_file_size)) {
	case UNWRAP_DONE:
		return out;
	case UNWRAP_NO_QUEUE_FILE:
		close(out);
		return fd;
	case UNWRAP_DAMAGED:
		unscanned(reply, REASON_IO_ERROR, "the queue file is damaged or not finished");
		break;
	case UNWRAP_TOO_LARGE:
		unscanned(reply, REASON_TOO_LARGE, "limit: MaxFileSize, in a queue file");
		break;
	case UNWRAP_IO:
		unscanned(reply, REASON_IO_ERROR, "the message of the queue file could not be read or written");
		break;
	}
	close(out);
	return -1;
}

/* A copy with line ends behind it. */
static int padded(int fd, size_t size)
{
	char bytes[TINY];
	int out;

	memset(bytes, '\n', sizeof(bytes));
	if (pread(fd, bytes, size, 0) != (ssize_t)size)
		return -1;
	out = file_new();
	if (out >= 0 && write(out, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) {
		close(out);
		return -1;
	}
	return out;
}

static void headers_note(int fd, struct scan_reply *reply)
{
	static char text[HEADERS_LOOKED_AT];
	ssize_t size = pread(fd, text, sizeof(text), 0);

	if (size > 0)
		headers_read(text, (size_t)size, reply->queue_id, reply->message_id);
}

static void content_scan(struct engine *engine, int fd, struct scan_reply *reply)
{
	struct findings findings = {0};
	struct stat status;
	int small = -1;

	if (fstat(fd, &status) < 0) {
		unscanned(reply, REASON_IO_ERROR, "fstat failed");
		return;
	}
	if (status.st_size == 0) {
		reply->verdict.kind = VERDICT_CLEAN;
		snprintf(reply->detail, sizeof(reply->detail), "empty");
		return;
	}
	headers_note(fd, reply);
	if (status.st_size < TINY) {
		small = padded(fd, (size_t)status.st_size);
		if (small < 0) {
			unscanned(reply, REASON_IO_ERROR, "no room for a copy of the small file");
			return;
		}
	}
	engine_scan(engine, small >= 0 ? small : fd, &findings);
	judge(&findings, &reply->verdict, reply->detail, sizeof(reply->detail));
	judge_names(&findings, reply);
	reply->last = findings.spoke || findings.error[0] != 0;
	if (small >= 0)
		close(small);
}

/* One case. The verdict comes last, so that a reply without one cannot be mistaken for it. */
static void case_scan(struct engine *engine, const struct scanner_settings *settings,
		      const struct scan_request *request, int fd, struct scan_reply *reply)
{
	struct stat status;
	int content = fd;

	*reply = (struct scan_reply){.version = WIRE_VERSION, .case_id = request->case_id};
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		unscanned(reply, REASON_IO_ERROR, "no regular file");
		return;
	}
	if (request->framing == FRAMING_POSTFIX_QUEUE && status.st_size > 0)
		content = framing_remove(fd, settings, reply);
	if (content < 0)
		return;
	content_scan(engine, content, reply);
	if (content != fd)
		close(content);
}

static bool reply_ends(const struct scan_reply *reply)
{
	return reply->last || reply->verdict.kind == VERDICT_INFECTED || reply->verdict.reason == REASON_IO_ERROR ||
	       reply->verdict.reason == REASON_ENGINE_ERROR;
}

_Noreturn void worker_run(const struct box *box, struct engine *engine, const struct scanner_settings *settings)
{
	struct scan_request request;
	struct scan_reply reply;
	const char *wrong;
	bool last;
	int fd;

	child_enter(box);
	engine_settle(engine);
	wrong = canary_check(engine);
	child_report(!wrong, wrong ? wrong : "");
	if (wrong)
		_exit(CHILD_CANARY);
	for (unsigned cases = 1;; cases++) {
		last = child_receive(&request, sizeof(request), &fd);
		if (fd < 0 || request.version != WIRE_VERSION || request.framing >= FRAMINGS)
			_exit(CHILD_BAD_FRAME);
		case_scan(engine, settings, &request, fd, &reply);
		close(fd);
		reply.last = last || cases >= WORKER_CASES || reply_ends(&reply);
		if (frame_send(CHILD_GATE, &reply, sizeof(reply), -1) < 0 || reply.last)
			_exit(CHILD_ENDED);
	}
}
