// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/dbox.c
/* A dbox file that nobody has checked: its messages lie in the file, one behind the other, and there is an end. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dbox dbox;
	static int in = -1;
	uint64_t at, length, before = 0, messages = 0;
	enum dbox_end end;

	if (in < 0)
		in = memfd_create("in", 0);
	if (ftruncate(in, 0) || pwrite(in, data, size, 0) != (ssize_t)size)
		abort();
	if (!dbox_open(&dbox, in))
		return 0;
	while ((end = dbox_next(&dbox, &at, &length)) == DBOX_MESSAGE) {
		if ((length > 0 && (at < before || at + length > size)) || ++messages > size)
			abort();
		before = at + length;
	}
	if (end == DBOX_IO || (end == DBOX_END && before > size))
		abort();
	return 0;
}
