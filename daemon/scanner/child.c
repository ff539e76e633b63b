// SPDX-License-Identifier: GPL-2.0-only
/* What worker and hasher have in common. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "worker.h"

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

/* Frames that the gate has sent stay readable after this; what it sends from now on fails, so it asks another worker
 * and no case is lost. */
static void gate_shut(void)
{
	shutdown(CHILD_GATE, SHUT_RD);
	close(CHILD_LOADER);
}

bool child_receive(void *frame, size_t size, int *fd)
{
	static bool last;
	struct pollfd wait[] = {{.fd = CHILD_GATE, .events = POLLIN}, {.fd = CHILD_LOADER, .events = POLLIN}};

	for (;;) {
		int result = frame_receive(CHILD_GATE, frame, size, fd);
		if (result == 0)
			return last;
		if (result == -EPIPE)
			_exit(CHILD_ENDED);
		if (result != -EAGAIN)
			_exit(CHILD_BAD_FRAME);
		if (poll(wait, last ? 1 : 2, -1) > 0 && wait[1].revents && !last) {
			last = true;
			gate_shut();
		}
	}
}
