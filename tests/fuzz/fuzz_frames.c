// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/workers.c daemon/think/scan_reply.c
/* The gate's sockets to its scanner, with arbitrary frames on them: nothing may end or stall it, no descriptor may be
 * lost. The input is a list of frames: one byte says which socket and whether a descriptor goes along, one the size. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "scan_reply.h"
#include "workers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_descriptors(void)
{
	int probe = open("/dev/null", O_RDONLY);

	close(probe);
	return probe; /* the lowest that is free */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct workers *workers;
	static struct loop loop;
	struct workers_event event;
	int loader[2], worker[2], before = 0;
	struct nursery_frame birth = {.version = WIRE_VERSION, .kind = NURSERY_WORKER, .id = 1};
	bool timed_out;

	if (!workers && (loop_open(&loop) < 0 || workers_open(&workers, &loop) < 0))
		abort();
	before = open_descriptors();
	if (frame_pair(loader) < 0 || frame_pair(worker) < 0)
		abort();
	workers_loader(workers, loader[0]);
	frame_send(loader[1], &birth, sizeof(birth), worker[0]);
	close(worker[0]);
	loop_turn(&loop, 0);
	while (workers_next(workers, 0, 1000, 1000, &event, &timed_out))
		;
	workers_scan(workers, 77, FRAMING_NONE, 0, false, 0);
	while (size >= 2) {
		uint8_t frame[sizeof(struct scan_reply) + 1] = {0};
		size_t most = data[0] & 1 ? sizeof(struct scan_reply) : sizeof(struct nursery_frame);
		size_t length = data[0] & 4 ? most : data[1];
		size_t given = data[1] < size - 2 ? data[1] : size - 2;
		memcpy(frame, data + 2, given < length ? given : length);
		if (length)
			frame_send(data[0] & 1 ? worker[1] : loader[1], frame, length, data[0] & 2 ? 0 : -1);
		data += 2 + given;
		size -= 2 + given;
		loop_turn(&loop, 0);
		while (workers_next(workers, 1, 1000, 1000, &event, &timed_out))
			if (event.kind == WORKERS_VERDICT && !scan_reply_is_sound(&event.reply))
				abort();
	}
	close(loader[1]);
	close(worker[1]);
	/* Time runs out for whoever still has something; the hasher, if one was forged, goes with the next loader. */
	for (int i = 0; i < 3; i++) {
		loop_turn(&loop, 0);
		while (workers_next(workers, 1u << 30, 1000, 1000, &event, &timed_out))
			;
	}
	if (open_descriptors() > before + 200)
		abort();
	return 0;
}
