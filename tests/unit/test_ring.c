// SPDX-License-Identifier: GPL-2.0-only
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring.h"

/* The oldest string, peeked at and let go of. */
static size_t take(struct ring *ring, void *out, size_t size)
{
	uint64_t position = ring->tail;
	size_t length = ring_peek(ring, &position, out, size);

	ring_release(ring, position);
	return length;
}

static struct ring *ring;
static uint8_t buffer[16384];

static void begin(void)
{
	memset(ring, 0, sizeof(*ring));
}

static bool put(const void *bytes, size_t size)
{
	struct ring_part part = {.bytes = bytes, .size = size};

	return ring_put(ring, &part, 1);
}

static void an_empty_ring_gives_nothing(void)
{
	begin();
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 0);
	CU_ASSERT_EQUAL(ring->lost, 0);
}

static void strings_come_out_in_order_with_their_length(void)
{
	begin();
	CU_ASSERT_TRUE(put("one", 3));
	CU_ASSERT_TRUE(put("three", 5));
	CU_ASSERT_TRUE(put("12345678", 8));
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 3);
	CU_ASSERT_EQUAL(memcmp(buffer, "one", 3), 0);
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 5);
	CU_ASSERT_EQUAL(memcmp(buffer, "three", 5), 0);
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 8);
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 0);
	CU_ASSERT_EQUAL(ring->head, ring->tail);
}

static void parts_become_one_string(void)
{
	struct ring_part parts[] = {{"ab", 2}, {"", 0}, {"cde", 3}, {"f", 1}};

	begin();
	CU_ASSERT_TRUE(ring_put(ring, parts, 4));
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 6);
	CU_ASSERT_EQUAL(memcmp(buffer, "abcdef", 6), 0);
}

static void strings_run_over_the_end_unharmed(void)
{
	uint8_t bytes[5001];

	begin();
	/* Many times round, so that every part of a string crosses the end at some time. */
	for (unsigned i = 0; i < 10000; i++) {
		size_t size = 1 + (i * 7919u) % 5000;
		memset(bytes, (int)(i & 0xff), size);
		CU_ASSERT_TRUE_FATAL(put(bytes, size));
		CU_ASSERT_EQUAL_FATAL(take(ring, buffer, sizeof(buffer)), size);
		CU_ASSERT_EQUAL_FATAL(memcmp(buffer, bytes, size), 0);
	}
	CU_ASSERT_TRUE(ring->head > 2 * (uint64_t)RING_BYTES);
	CU_ASSERT_EQUAL(ring->lost, 0);
}

static void what_does_not_fit_is_counted_and_the_rest_stays(void)
{
	static const uint8_t bytes[1016] = "x"; /* 1024 with its length */
	unsigned taken = 0;

	begin();
	while (put(bytes, sizeof(bytes)))
		taken++;
	CU_ASSERT_EQUAL(taken, RING_BYTES / 1024);
	CU_ASSERT_FALSE(put("y", 1));
	CU_ASSERT_EQUAL(ring->lost, 2);
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), sizeof(bytes));
	CU_ASSERT_TRUE(put("y", 1));
	for (unsigned i = 1; i < taken; i++)
		CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), sizeof(bytes));
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 1);
	CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 0);
}

static void a_string_larger_than_the_ring_is_refused(void)
{
	uint8_t *bytes = calloc(1, RING_BYTES);

	begin();
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	CU_ASSERT_FALSE(put(bytes, RING_BYTES));
	CU_ASSERT_FALSE(put(bytes, (size_t)RING_BYTES - 7));
	CU_ASSERT_TRUE(put(bytes, (size_t)RING_BYTES - 8));
	CU_ASSERT_EQUAL(ring->lost, 2);
	free(bytes);
}

static void a_reader_with_too_little_room_empties_the_ring(void)
{
	begin();
	put("twelve bytes", 12);
	put("more", 4);
	CU_ASSERT_EQUAL(take(ring, buffer, 11), 0);
	CU_ASSERT_EQUAL(ring->tail, ring->head);
}

static void a_length_that_cannot_be_empties_the_ring(void)
{
	static const uint32_t wild[] = {0xffffffff, 0x7fffffff, RING_BYTES, 100};

	for (size_t i = 0; i < 4; i++) {
		begin();
		put("abc", 3);
		memcpy(ring->bytes, &wild[i], sizeof(wild[i]));
		CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 0);
		CU_ASSERT_EQUAL(ring->tail, ring->head);
	}
}

static void a_hostile_tail_makes_the_ring_seem_full_and_harms_nothing(void)
{
	static const uint64_t wild[] = {1, 8, 4096, UINT64_MAX, UINT64_MAX / 2, (uint64_t)RING_BYTES * 3};

	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		begin();
		ring->tail = wild[i]; /* ahead of head: used is huge, or (the largest number) one */
		CU_ASSERT_EQUAL(put("abc", 3), wild[i] == UINT64_MAX);
		CU_ASSERT_EQUAL(ring->lost, wild[i] == UINT64_MAX ? 0 : 1);
		CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 0);
		CU_ASSERT_EQUAL(ring->tail, ring->head);
		CU_ASSERT_TRUE(put("abc", 3));
		CU_ASSERT_EQUAL(take(ring, buffer, sizeof(buffer)), 3);
	}
}

static void two_processes_share_it_without_a_torn_string(void)
{
	enum { COUNT = 200000 };
	unsigned next = 0;
	pid_t writer;
	int status;

	begin();
	writer = fork();
	if (writer == 0) {
		uint32_t words[64];
		for (uint32_t i = 0; i < COUNT;) {
			size_t count = 1 + i % 64;
			for (size_t w = 0; w < count; w++)
				words[w] = i;
			if (put(words, count * sizeof(words[0])))
				i++;
		}
		_exit(0);
	}
	alarm(60);
	while (next < COUNT) {
		uint32_t words[64];
		size_t got = take(ring, words, sizeof(words));
		if (got == 0)
			continue;
		CU_ASSERT_EQUAL_FATAL(got, (1 + next % 64) * sizeof(words[0]));
		for (size_t w = 0; w < got / sizeof(words[0]); w++)
			CU_ASSERT_EQUAL_FATAL(words[w], next);
		next++;
	}
	alarm(0);
	CU_ASSERT_EQUAL(waitpid(writer, &status, 0), writer);
	CU_ASSERT_EQUAL(status, 0);
}

int main(void)
{
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return EXIT_FAILURE;
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("ring", NULL, NULL);
	CU_ADD_TEST(suite, an_empty_ring_gives_nothing);
	CU_ADD_TEST(suite, strings_come_out_in_order_with_their_length);
	CU_ADD_TEST(suite, parts_become_one_string);
	CU_ADD_TEST(suite, strings_run_over_the_end_unharmed);
	CU_ADD_TEST(suite, what_does_not_fit_is_counted_and_the_rest_stays);
	CU_ADD_TEST(suite, a_string_larger_than_the_ring_is_refused);
	CU_ADD_TEST(suite, a_reader_with_too_little_room_empties_the_ring);
	CU_ADD_TEST(suite, a_length_that_cannot_be_empties_the_ring);
	CU_ADD_TEST(suite, a_hostile_tail_makes_the_ring_seem_full_and_harms_nothing);
	CU_ADD_TEST(suite, two_processes_share_it_without_a_torn_string);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
