// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/exim.c
/* A body of Exim's spool that nobody has checked: no more than the limit and the head of ours comes out, and nothing of
 * what is no body. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exim.h"

#define LIMIT 100000
#define HEAD 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int in = -1, out = -1;
	enum unwrap_end end;
	off_t came;

	if (in < 0) {
		in = memfd_create("in", 0);
		out = memfd_create("out", 0);
	}
	if (ftruncate(in, 0) || ftruncate(out, 0) || lseek(out, 0, SEEK_SET) != 0 ||
	    pwrite(in, data, size, 0) != (ssize_t)size)
		abort();
	end = exim_unwrap(in, out, LIMIT);
	came = lseek(out, 0, SEEK_END);
	if (came > LIMIT + HEAD || end == UNWRAP_IO || exim_is_body(in) != (end != UNWRAP_NO_QUEUE_FILE) ||
	    (end == UNWRAP_NO_QUEUE_FILE && came != 0))
		abort();
	return 0;
}
