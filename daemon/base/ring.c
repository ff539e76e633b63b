// SPDX-License-Identifier: GPL-2.0-only
/* Each string lies behind its 32-bit length, both padded to 8 bytes, and may run over the end of `bytes`. */
#include "ring.h"

#include <string.h>

#define MASK (RING_BYTES - 1)

static void copy_in(struct ring *ring, uint64_t at, const void *from, size_t size)
{
	size_t offset = at & MASK, first = size < RING_BYTES - offset ? size : RING_BYTES - offset;

	memcpy(ring->bytes + offset, from, first);
	memcpy(ring->bytes, (const uint8_t *)from + first, size - first);
}

static void copy_out(const struct ring *ring, uint64_t at, void *to, size_t size)
{
	size_t offset = at & MASK, first = size < RING_BYTES - offset ? size : RING_BYTES - offset;

	memcpy(to, ring->bytes + offset, first);
	memcpy((uint8_t *)to + first, ring->bytes, size - first);
}

static uint64_t padded(uint64_t size)
{
	return (size + 7) & ~(uint64_t)7;
}

bool ring_put(struct ring *ring, const struct ring_part *parts, size_t count)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
	uint64_t used = head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	uint64_t size = 0, at = head + 8;
	uint32_t length;

	for (size_t i = 0; i < count; i++)
		size += parts[i].size;
	if (used > RING_BYTES || 8 + padded(size) > RING_BYTES - used) {
		__atomic_fetch_add(&ring->lost, 1, __ATOMIC_RELAXED);
		return false;
	}
	length = (uint32_t)size;
	copy_in(ring, head, &length, sizeof(length));
	for (size_t i = 0; i < count; i++) {
		copy_in(ring, at, parts[i].bytes, parts[i].size);
		at += parts[i].size;
	}
	__atomic_store_n(&ring->head, head + 8 + padded(size), __ATOMIC_RELEASE);
	return true;
}

size_t ring_peek(const struct ring *ring, uint64_t *position, void *out, size_t size)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	uint32_t length;

	if (head == *position)
		return 0;
	copy_out(ring, *position, &length, sizeof(length));
	if (head - *position > RING_BYTES || 8 + padded(length) > head - *position || length > size) {
		*position = head;
		return 0;
	}
	copy_out(ring, *position + 8, out, length);
	*position += 8 + padded(length);
	return length;
}

void ring_release(struct ring *ring, uint64_t position)
{
	__atomic_store_n(&ring->tail, position, __ATOMIC_RELEASE);
}
