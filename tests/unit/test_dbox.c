// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/dbox.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbox.h"

#define FIRST "2 M1e C5f3a0001\n"
#define HEADER(size) "\1\2N          00000000000000" size "\n"
#define AFTER "\n\1\3\nR5f3a0001\nGabc\n\n"

static struct dbox dbox;
static uint64_t at, size;
static int fd = -1;

static bool file(const char *text, size_t length)
{
	if (fd < 0)
		fd = memfd_create("dbox", 0);
	if (ftruncate(fd, 0) || pwrite(fd, text, length, 0) != (ssize_t)length)
		abort();
	return dbox_open(&dbox, fd);
}
#define FILE_OF(text) file(text, sizeof(text) - 1)

static bool message_is(const char *text)
{
	char bytes[64] = "";

	return dbox_next(&dbox, &at, &size) == DBOX_MESSAGE && size == strlen(text) && size < sizeof(bytes) &&
	       pread(fd, bytes, size, (off_t)at) == (ssize_t)size && !memcmp(bytes, text, size);
}

static void one_message_and_the_end(void)
{
	CU_ASSERT(FILE_OF(FIRST HEADER("05") "hello" AFTER));
	CU_ASSERT(message_is("hello"));
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_END);
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_END);
}

static void three_messages_one_of_them_empty(void)
{
	CU_ASSERT(FILE_OF(FIRST HEADER("05") "hello" AFTER HEADER("00") AFTER HEADER("0A") "0123456789" AFTER));
	CU_ASSERT(message_is("hello"));
	CU_ASSERT(message_is(""));
	CU_ASSERT(message_is("0123456789"));
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_END);
}

static void bytes_of_a_message_are_never_taken_for_framing(void)
{
	CU_ASSERT(FILE_OF(FIRST HEADER("0c") "\n\1\3\nA\n\n\1\2N x" AFTER));
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_MESSAGE);
	CU_ASSERT_EQUAL(size, 12);
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_END);
}

static void metadata_may_be_longer_than_a_read(void)
{
	static char text[30000];
	size_t length = (size_t)snprintf(text, sizeof(text), "%s", FIRST), start;

	memcpy(text + length, HEADER("02") "ab\n\1\3\nB", sizeof(HEADER("02") "ab\n\1\3\nB") - 1);
	length += sizeof(HEADER("02") "ab\n\1\3\nB") - 1;
	start = length;
	memset(text + start, 'x', 20000);
	memcpy(text + start + 20000, "\n\n", 2);
	length += 20002;
	memcpy(text + length, HEADER("02") "cd" AFTER, sizeof(HEADER("02") "cd" AFTER) - 1);
	length += sizeof(HEADER("02") "cd" AFTER) - 1;
	CU_ASSERT(file(text, length));
	CU_ASSERT(message_is("ab"));
	CU_ASSERT(message_is("cd"));
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_END);
}

static void other_files_are_no_dbox(void)
{
	CU_ASSERT_FALSE(FILE_OF(""));
	CU_ASSERT_FALSE(FILE_OF("From: a@b\n\nhello\n"));
	CU_ASSERT_FALSE(FILE_OF("2 M1e C5f3a0001\n"));
	CU_ASSERT_FALSE(FILE_OF("2 M1e C5f3a0001\nwords"));
	CU_ASSERT_FALSE(FILE_OF("3 M1e C5f3a0001\n\1\2N"));
	CU_ASSERT_FALSE(FILE_OF("2 C5f3a0001\n\1\2N"));
	CU_ASSERT_FALSE(FILE_OF("2 M1e \x80\n\1\2N"));
	CU_ASSERT_FALSE(FILE_OF("\1\2N"));
}

static void what_is_not_finished_is_said_to_be(void)
{
	static const char whole[] = FIRST HEADER("05") "hello" AFTER;

	for (size_t length = sizeof(FIRST) + 1; length < sizeof(whole) - 1; length++) {
		enum dbox_end end;
		CU_ASSERT(file(whole, length));
		end = dbox_next(&dbox, &at, &size);
		if (end == DBOX_MESSAGE) {
			CU_ASSERT(at + size <= length);
			end = dbox_next(&dbox, &at, &size);
		}
		CU_ASSERT_EQUAL(end, DBOX_DAMAGED);
	}
}

static void a_wrong_word_is_damage(void)
{
	static const char *const wrong[] = {FIRST HEADER("0g") "hello" AFTER, FIRST HEADER("04") "hello" AFTER,
					    "2 M1d C5f3a0001\n" HEADER("05") "hello" AFTER,
					    "2 M C5f3a0001\n" HEADER("05") "hello" AFTER,
					    "2 Mffffffffff C5f3a0001\n" HEADER("05") "hello" AFTER};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		enum dbox_end end = DBOX_MESSAGE;
		CU_ASSERT(file(wrong[i], strlen(wrong[i])));
		for (int n = 0; n < 3 && end == DBOX_MESSAGE; n++)
			end = dbox_next(&dbox, &at, &size);
		CU_ASSERT_EQUAL(end, DBOX_DAMAGED);
	}
}

static void a_size_beyond_the_file_is_damage(void)
{
	CU_ASSERT(FILE_OF(FIRST "\1\2N          ffffffffffffffff\n"
				"hello" AFTER));
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_MESSAGE);
	CU_ASSERT_EQUAL(size, sizeof("hello" AFTER) - 1);
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_DAMAGED);
}

static void what_cannot_be_read_is_said_to_be(void)
{
	CU_ASSERT(FILE_OF(FIRST HEADER("05") "hello" AFTER));
	dbox.held = 0;
	dbox.fd = -1;
	CU_ASSERT_EQUAL(dbox_next(&dbox, &at, &size), DBOX_IO);
}

int main(void)
{
	CU_pSuite suite;

	CU_initialize_registry();
	suite = CU_add_suite("dbox", NULL, NULL);
	CU_ADD_TEST(suite, one_message_and_the_end);
	CU_ADD_TEST(suite, three_messages_one_of_them_empty);
	CU_ADD_TEST(suite, bytes_of_a_message_are_never_taken_for_framing);
	CU_ADD_TEST(suite, metadata_may_be_longer_than_a_read);
	CU_ADD_TEST(suite, other_files_are_no_dbox);
	CU_ADD_TEST(suite, what_is_not_finished_is_said_to_be);
	CU_ADD_TEST(suite, a_wrong_word_is_damage);
	CU_ADD_TEST(suite, a_size_beyond_the_file_is_damage);
	CU_ADD_TEST(suite, what_cannot_be_read_is_said_to_be);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
