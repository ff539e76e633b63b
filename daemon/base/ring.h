/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bounded queue of byte strings in shared memory, one writer and one reader in two processes. The writer never
 * waits: what does not fit is counted. Either side may die and be replaced; what was put is there for the next reader.
 */
#ifndef MAILWARD_RING_H
#define MAILWARD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES (4u << 20) /* a power of two */

struct ring {
	uint64_t head;     /* bytes ever put; the writer's */
	uint64_t lost;     /* strings ever refused for want of room; the writer's */
	uint64_t watchers; /* the reader's: somebody wants every decision, not the denials alone */
	uint64_t reserved[5];
	uint64_t tail;      /* bytes ever taken; the reader's */
	uint64_t lost_told; /* the reader's: of `lost`, how many it has recorded as a gap */
	uint64_t reserved2[6];
	uint8_t bytes[RING_BYTES];
};

/* The parts are written one behind the other as one string. false: no room, counted in lost. The reader's fields are
 * read as hostile: they can make the ring seem full or empty, nothing else. */
struct ring_part {
	const void *bytes;
	size_t size;
};
bool ring_put(struct ring *ring, const struct ring_part *parts, size_t count);

/* Reading, in two steps, so that a reader can have saved a string before it is gone: ring_peek() copies the string at
 * *position (start with ring->tail) into out, moves *position behind it and returns its size, 0: no more; the string
 * stays. A string larger than size, or a length that cannot be, moves *position to the end and returns 0.
 * ring_release() lets go of everything before position. */
size_t ring_peek(const struct ring *ring, uint64_t *position, void *out, size_t size);
void ring_release(struct ring *ring, uint64_t position);

#endif
