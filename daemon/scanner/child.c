// SPDX-License-Identifier: GPL-2.0-only
/* What worker and hasher have in common. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "loop.h"
#include "worker.h"

#define REST_MS 200

void child_report(bool ready, const char *text)
{
	struct child_report report = {.ready = ready};

	snprintf(report.text, sizeof(report.text), "%s", text);
	frame_send(CHILD_LOADER, &report, sizeof(report), -1);
}

void child_enter(const struct box *box)
{
	enum box_layer failed = box_enter(box);
	char text[96];

	if (failed == BOX_ENTERED)
		return;
	snprintf(text, sizeof(text), "layer \"%s\" of the box: %s", box_layer_name(failed), strerror(errno));
	if (failed != BOX_DESCRIPTORS)
		child_report(false, text);
	_exit(failed);
}

static bool last, loader_gone; /* the loader wants no more cases; it has closed */

/* Frames that the gate has sent stay readable after this; what it sends from now on fails, so it asks another worker
 * and no case is lost. The loader is still there for what its clamd is asked. */
static void gate_shut(void)
{
	last = true;
	shutdown(CHILD_GATE, SHUT_RD);
}

/* What the loader has sent; false: it was the end, or the word to take no more cases. */
static bool answer_receive(struct child_report *report, int *fd)
{
	int result = frame_receive(CHILD_LOADER, report, sizeof(*report), fd);

	if (result == -EAGAIN)
		return false;
	if (result == 0 && report->ready == CHILD_WORD_ANSWER)
		return true;
	if (result == 0 && *fd >= 0)
		close(*fd);
	*fd = -1;
	loader_gone = loader_gone || result < 0;
	if (!last)
		gate_shut();
	return false;
}

/* A scan leaves its tables in the heap (libclamav's grow with the logical signatures: 20 MB with 30,000). The next one
 * takes them at once if it comes at once; who has had nothing to do for a moment gives them back. */
static void rest(struct pollfd *wait, nfds_t count, bool *rested)
{
	if (!*rested && poll(wait, count, REST_MS) != 0)
		return;
	if (!*rested)
		malloc_trim(0);
	*rested = true;
	poll(wait, count, -1);
}

/* Before each case: does the loader want no more? An answer of its clamd comes too late. */
static void loader_hear(void)
{
	struct child_report report;
	int unwanted = -1;

	while (!last && answer_receive(&report, &unwanted))
		if (unwanted >= 0)
			close(unwanted);
}

bool child_receive(void *frame, size_t size, int *fd)
{
	bool rested = false;
	struct pollfd wait[] = {{.fd = CHILD_GATE, .events = POLLIN}, {.fd = CHILD_LOADER, .events = POLLIN}};

	for (;;) {
		int result = frame_receive(CHILD_GATE, frame, size, fd);
		if (result == -EPIPE)
			_exit(CHILD_ENDED);
		if (result != 0 && result != -EAGAIN)
			_exit(CHILD_BAD_FRAME);
		loader_hear();
		if (result == 0)
			return last;
		rest(wait, last ? 1 : 2, &rested);
	}
}

int child_clamd(int fd, uint64_t until_ns, char text[CHILD_TEXT])
{
	static uint32_t number;
	struct pollfd wait = {.fd = CHILD_LOADER, .events = POLLIN};
	struct child_report report = {.ready = CHILD_WORD_ASK, .number = ++number};
	int conn = -1;

	snprintf(text, CHILD_TEXT, "clamd: nobody connects to it");
	if (loader_gone || frame_send(CHILD_LOADER, &report, sizeof(report), fd) < 0)
		return -1;
	while (!loader_gone) {
		uint64_t now = now_ns();
		if (answer_receive(&report, &conn) && report.number == number) {
			snprintf(text, CHILD_TEXT, "%.*s", CHILD_TEXT - 1, report.text);
			return conn;
		}
		if (conn >= 0) /* to a question that was given up */
			close(conn);
		if (now >= until_ns || poll(&wait, 1, (int)((until_ns - now) / 1000000u) + 1) < 0)
			break;
	}
	return -1;
}
