/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two compressions that libclamav does not know and Dovecot's zlib plugin writes: zstd, and lz4 in a framing of
 * Dovecot's own: "Dovecot-LZ4\x0d\x2a\x9b\xc5", the largest chunk unpacked (4 bytes, high first), then chunks, each
 * with 4 bytes of its packed size before it. (Dovecot iostream-lz4.h, istream-lz4.c, istream-zstd.c.) Hostile.
 */
#ifndef MAILWARD_UNPACK_H
#define MAILWARD_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packing { PACKING_NONE = 0, PACKING_ZSTD, PACKING_LZ4 };
#define PACKING_LOOKED_AT 15 /* bytes at the beginning that say it */
enum packing packing_of(const unsigned char *bytes, size_t size);
const char *packing_name(enum packing packing);

enum unpack_end {
	UNPACK_DONE = 0,
	UNPACK_DAMAGED,   /* not finished, wrong, a frame that takes too much memory, or more behind it: the rest is not
			     out. A reader gets what was written, too */
	UNPACK_TOO_LARGE, /* more than `limit` bytes would come out */
	UNPACK_TIME,      /* it took longer than until_ns */
	UNPACK_IO,        /* errno says what could not be read or written */
	UNPACK_MEMORY
};

/* Appends to `out` what `size` bytes of `in` at `at` hold; PACKING_NONE: the bytes themselves. Both borrowed, `in` is
 * read by pread(2). until_ns: CLOCK_MONOTONIC. */
enum unpack_end unpack(enum packing packing, int in, uint64_t at, uint64_t size, int out, uint64_t limit,
		       uint64_t until_ns);

#endif
