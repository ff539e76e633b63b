// SPDX-License-Identifier: GPL-2.0-only
/* What worker and hasher have in common. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "worker.h"

void child_report(bool ready, const char *text)
{
	struct child_report report = {.ready = ready};

	snprintf(report.text, sizeof(report.text), "%s", text);
	frame_send(CHILD_LOADER, &report, sizeof(report), -1);
	close(CHILD_LOADER);
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

void child_receive(void *frame, size_t size, int *fd)
{
	struct pollfd gate = {.fd = CHILD_GATE, .events = POLLIN};

	for (;;) {
		int result = frame_receive(CHILD_GATE, frame, size, fd);
		if (result == 0)
			return;
		if (result == -EPIPE)
			_exit(CHILD_ENDED);
		if (result != -EAGAIN)
			_exit(CHILD_BAD_FRAME);
		poll(&gate, 1, -1);
	}
}
