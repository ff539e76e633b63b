// SPDX-License-Identifier: GPL-2.0-only
/* A mailbox that nobody has checked: its messages follow one another, lie in the file, and cover all of it. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mbox mbox;
	static int in = -1;
	struct mbox_message message;
	uint64_t before = 0, messages = 0;

	if (in < 0)
		in = memfd_create("in", 0);
	if (ftruncate(in, 0) || pwrite(in, data, size, 0) != (ssize_t)size)
		abort();
	if (!mbox_open(&mbox, in))
		return 0;
	while (mbox_next(&mbox, &message)) {
		if (message.from != before || message.start <= message.from || message.end < message.start ||
		    message.end > size || ++messages > size)
			abort();
		before = message.end;
	}
	if (mbox.io || before != size)
		abort();
	return 0;
}
