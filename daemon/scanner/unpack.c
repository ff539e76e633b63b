// SPDX-License-Identifier: GPL-2.0-only
#include "unpack.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "loop.h"

#define LZ4_MAGIC "Dovecot-LZ4\x0d\x2a\x9b\xc5"
#define LZ4_MAGIC_SIZE (sizeof(LZ4_MAGIC) - 1)
#define CHUNK_MAX (1u << 20) /* Dovecot takes no larger one, neither packed nor unpacked */
#define WINDOW_LOG_MAX 27    /* 128 MiB: libzstd's own default, which is Dovecot's */

struct unpacking {
	int in, out;
	uint64_t at, end; /* of what is left to be read */
	uint64_t room;    /* bytes that may still be written */
	uint64_t until_ns;
	unsigned char packed[CHUNK_MAX], plain[CHUNK_MAX];
};

enum packing packing_of(const unsigned char *bytes, size_t size)
{
	if (size >= 4 && !memcmp(bytes, "\x28\xb5\x2f\xfd", 4))
		return PACKING_ZSTD;
	if (size >= LZ4_MAGIC_SIZE && !memcmp(bytes, LZ4_MAGIC, LZ4_MAGIC_SIZE))
		return PACKING_LZ4;
	return PACKING_NONE;
}

const char *packing_name(enum packing packing)
{
	static const char *const names[] = {"stored message", "zstd", "Dovecot's lz4"};

	return names[packing];
}

/* Up to `size` of the bytes that are left; -1: errno says why. */
static ssize_t take(struct unpacking *state, size_t size)
{
	size_t got = 0;

	if (size > state->end - state->at)
		size = (size_t)(state->end - state->at);
	while (got < size) {
		ssize_t more = pread(state->in, state->packed + got, size - got, (off_t)state->at);
		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -1;
		if (more == 0) /* it has become shorter */
			break;
		got += (size_t)more;
		state->at += (uint64_t)more;
	}
	return (ssize_t)got;
}

/* UNPACK_DONE: go on. */
static enum unpack_end put(struct unpacking *state, const unsigned char *bytes, size_t size)
{
	if (size > state->room)
		return UNPACK_TOO_LARGE;
	if (now_ns() > state->until_ns)
		return UNPACK_TIME;
	state->room -= size;
	while (size > 0) {
		ssize_t wrote = write(state->out, bytes, size);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return UNPACK_IO;
		bytes += wrote;
		size -= (size_t)wrote;
	}
	return UNPACK_DONE;
}

static enum unpack_end copy_all(struct unpacking *state)
{
	enum unpack_end end = UNPACK_DONE;

	while (end == UNPACK_DONE && state->at < state->end) {
		ssize_t got = take(state, sizeof(state->packed));
		if (got <= 0)
			return got < 0 ? UNPACK_IO : UNPACK_DAMAGED;
		end = put(state, state->packed, (size_t)got);
	}
	return end;
}

static uint32_t be32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum unpack_end chunk_unpack(struct unpacking *state)
{
	ssize_t got = take(state, 4);
	uint32_t size;
	int plain;

	if (got < 4)
		return got < 0 ? UNPACK_IO : UNPACK_DAMAGED;
	size = be32(state->packed);
	if (size == 0 || size > CHUNK_MAX)
		return UNPACK_DAMAGED;
	got = take(state, size);
	if (got < (ssize_t)size)
		return got < 0 ? UNPACK_IO : UNPACK_DAMAGED;
	plain = LZ4_decompress_safe((const char *)state->packed, (char *)state->plain, (int)size, CHUNK_MAX);
	return plain <= 0 ? UNPACK_DAMAGED : put(state, state->plain, (size_t)plain);
}

static enum unpack_end lz4_unpack(struct unpacking *state)
{
	enum unpack_end end = UNPACK_DONE;
	ssize_t got = take(state, LZ4_MAGIC_SIZE + 4);

	if (got < (ssize_t)LZ4_MAGIC_SIZE + 4)
		return got < 0 ? UNPACK_IO : UNPACK_DAMAGED;
	if (be32(state->packed + LZ4_MAGIC_SIZE) > CHUNK_MAX)
		return UNPACK_DAMAGED;
	while (end == UNPACK_DONE && state->at < state->end)
		end = chunk_unpack(state);
	return end;
}

/* One piece of input, until nothing more comes out of it. *left: what the decoder wants next, 0 at the end of a frame.
 */
static enum unpack_end zstd_piece(struct unpacking *state, ZSTD_DCtx *decoder, ZSTD_inBuffer *in, size_t *left)
{
	enum unpack_end end = UNPACK_DONE;
	bool full;

	do {
		ZSTD_outBuffer out = {.dst = state->plain, .size = sizeof(state->plain)};
		*left = ZSTD_decompressStream(decoder, &out, in);
		if (ZSTD_isError(*left)) {
			if (ZSTD_getErrorCode(*left) == ZSTD_error_memory_allocation)
				return UNPACK_MEMORY;
			end = put(state, state->plain, out.pos);
			return end == UNPACK_DONE ? UNPACK_DAMAGED : end;
		}
		full = out.pos == out.size;
		end = put(state, state->plain, out.pos);
	} while (end == UNPACK_DONE && (in->pos < in->size || (full && *left > 0)));
	return end;
}

static enum unpack_end zstd_unpack(struct unpacking *state, ZSTD_DCtx *decoder)
{
	enum unpack_end end = UNPACK_DONE;
	size_t left = 1;

	while (end == UNPACK_DONE && state->at < state->end) {
		ssize_t got = take(state, ZSTD_DStreamInSize());
		ZSTD_inBuffer in = {.src = state->packed, .size = got > 0 ? (size_t)got : 0};
		if (got <= 0)
			return got < 0 ? UNPACK_IO : UNPACK_DAMAGED;
		end = zstd_piece(state, decoder, &in, &left);
	}
	return end == UNPACK_DONE && left > 0 ? UNPACK_DAMAGED : end;
}

enum unpack_end unpack(enum packing packing, int in, uint64_t at, uint64_t size, int out, uint64_t limit,
		       uint64_t until_ns)
{
	static struct unpacking state; /* one at a time; too big for a stack */
	enum unpack_end end = UNPACK_MEMORY;
	ZSTD_DCtx *decoder;

	state.in = in;
	state.out = out;
	state.at = at;
	state.end = at + size;
	state.room = limit;
	state.until_ns = until_ns;
	switch (packing) {
	case PACKING_NONE:
		return copy_all(&state);
	case PACKING_LZ4:
		return lz4_unpack(&state);
	case PACKING_ZSTD:
		decoder = ZSTD_createDCtx();
		if (decoder && !ZSTD_isError(ZSTD_DCtx_setParameter(decoder, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
			end = zstd_unpack(&state, decoder);
		ZSTD_freeDCtx(decoder);
		return end;
	}
	return UNPACK_DAMAGED;
}
