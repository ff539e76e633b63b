// SPDX-License-Identifier: GPL-2.0-only
#include "worker.h"

#include <errno.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canary.h"
#include "content.h"
#include "exim.h"
#include "frame.h"
#include "unwrap.h"

#define SCAN_TABLE_BYTES (32 << 20) /* the most that glibc takes */

/* Takes the framing off. Returns the descriptor to scan: a new one, `fd` itself where it is no queue file, or -1 with
 * the reply filled in. */
static int framing_remove(int fd, const struct scanner_settings *settings, struct scan_reply *reply)
{
	int out = content_file();

	if (out < 0) {
		content_unscanned(reply, REASON_IO_ERROR, "no room for the message of the queue file");
		return -1;
	}
	switch (exim_is_body(fd) ? exim_unwrap(fd, out, settings->max_file_size)
				 : unwrap_postfix(fd, out, settings->max_file_size)) {
	case UNWRAP_DONE:
		return out;
	case UNWRAP_NO_QUEUE_FILE:
		close(out);
		return fd;
	case UNWRAP_DAMAGED:
		content_unscanned(reply, REASON_IO_ERROR, "the queue file is damaged or not finished");
		break;
	case UNWRAP_TOO_LARGE:
		content_unscanned(reply, REASON_TOO_LARGE, "limit: MaxFileSize, in a queue file");
		break;
	case UNWRAP_IO:
		content_unscanned(reply, REASON_IO_ERROR, "the message of the queue file could not be read or written");
		break;
	}
	close(out);
	return -1;
}

/* What is clean as it lies there may be the body of a message, wherever it came from. */
static void exim_scan(struct engine *engine, const struct scanner_settings *settings, int fd, struct scan_reply *reply)
{
	int content = framing_remove(fd, settings, reply);

	if (content < 0 || content == fd)
		return;
	content_scan(engine, settings, content, reply);
	close(content);
}

/* One case. The verdict comes last, so that a reply without one cannot be mistaken for it. */
static void case_scan(struct engine *engine, const struct scanner_settings *settings,
		      const struct scan_request *request, int fd, struct scan_reply *reply)
{
	struct stat status;
	int content = fd;

	*reply = (struct scan_reply){.version = WIRE_VERSION, .case_id = request->case_id};
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		content_unscanned(reply, REASON_IO_ERROR, "no regular file");
		return;
	}
	if (request->framing == FRAMING_POSTFIX_QUEUE && status.st_size > 0)
		content = framing_remove(fd, settings, reply);
	if (content < 0)
		return;
	content_scan(engine, settings, content, reply);
	if (content != fd)
		close(content);
	else if (reply->verdict.kind == VERDICT_CLEAN && exim_is_body(fd))
		exim_scan(engine, settings, fd, reply);
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
	mallopt(M_MMAP_THRESHOLD, SCAN_TABLE_BYTES); /* not mapped and unmapped at each scan */
	mallopt(M_TRIM_THRESHOLD, 2 * SCAN_TABLE_BYTES);
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
