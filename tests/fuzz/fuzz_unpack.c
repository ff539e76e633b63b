// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/unpack.c
// libs: libzstd liblz4
/* A compressed message that nobody has checked; the first byte chooses which kind it is taken for. No more than the
 * limit comes out, and it ends. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unpack.h"

#define LIMIT 300000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int in = -1, out = -1;
	enum packing packing;
	enum unpack_end end;
	off_t came;

	if (in < 0) {
		in = memfd_create("in", 0);
		out = memfd_create("out", 0);
	}
	if (size < 1 || size > 100000)
		return 0;
	if (ftruncate(in, 0) || ftruncate(out, 0) || lseek(out, 0, SEEK_SET) != 0 ||
	    pwrite(in, data, size, 0) != (ssize_t)size)
		abort();
	packing = data[0] % 2 ? PACKING_ZSTD : PACKING_LZ4;
	if (packing_of(data + 1, size - 1) != PACKING_NONE)
		packing = packing_of(data + 1, size - 1);
	end = unpack(packing, in, 1, size - 1, out, LIMIT, UINT64_MAX);
	came = lseek(out, 0, SEEK_END);
	if (came > LIMIT || end == UNPACK_IO || end == UNPACK_TIME)
		abort();
	return 0;
}
