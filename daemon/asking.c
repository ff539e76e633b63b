// SPDX-License-Identifier: GPL-2.0-only
/* The steward: what it is asked for, and what it says. Nobody waits for it longer than for a scan. */
#include <errno.h>
#include <unistd.h>

#include "frame.h"
#include "gate_state.h"

static void steward_gone(struct gate *gate)
{
	if (gate->steward < 0)
		return;
	loop_remove(&gate->loop, &gate->on_steward);
	close(gate->steward);
	gate->steward = -1;
}

void asking_hear(struct gate *gate)
{
	struct steward_reply reply;
	int fd = -1, result = frame_receive(gate->steward, &reply, sizeof(reply), &fd);

	if (result == -EAGAIN)
		return;
	if (result == 0 && reply.version == WIRE_VERSION && reply.kind == STEWARD_SCAN && fd >= 0) {
		behind_take(gate, fd, reply.case_id, reply.rank);
		return;
	}
	if (result < 0 && result != -EBADMSG)
		steward_gone(gate);
	if (fd >= 0)
		close(fd);
}
