// SPDX-License-Identifier: GPL-2.0-only
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mbox.h"

static struct mbox mbox;
static int fd = -1;

static bool file(const char *text, size_t size)
{
	if (fd >= 0)
		close(fd);
	fd = memfd_create("mbox", 0);
	if (write(fd, text, size) != (ssize_t)size)
		abort();
	return mbox_open(&mbox, fd);
}

static bool text_file(const char *text)
{
	return file(text, strlen(text));
}

static void next_is(uint64_t from, uint64_t start, uint64_t end)
{
	struct mbox_message message = {0};

	CU_ASSERT_TRUE(mbox_next(&mbox, &message));
	CU_ASSERT_EQUAL(message.from, from);
	CU_ASSERT_EQUAL(message.start, start);
	CU_ASSERT_EQUAL(message.end, end);
}

static void no_more(void)
{
	struct mbox_message message;

	CU_ASSERT_FALSE(mbox_next(&mbox, &message));
	CU_ASSERT_FALSE(mbox_next(&mbox, &message));
	CU_ASSERT_FALSE(mbox.io);
}

#define ONE "From a@b  Sat Nov 21 17:59:21 2026\n" /* 35 bytes */

static void messages_begin_with_their_from_lines(void)
{
	CU_ASSERT_TRUE(text_file(ONE "Subject: 1\n\nbody\n\n" ONE "Subject: 2\n\nbody\n"));
	next_is(0, 35, 53);
	next_is(53, 88, 105);
	no_more();
	CU_ASSERT_TRUE(text_file(ONE));
	next_is(0, 35, 35);
	no_more();
	CU_ASSERT_TRUE(text_file("From MAILER-DAEMON Thu Jan  1 00:00 1970"));
	next_is(0, 40, 40);
	no_more();
}

static void a_from_line_without_an_empty_line_before_it_is_text(void)
{
	CU_ASSERT_TRUE(text_file(ONE "Subject: 1\n\nbody\n" ONE "\n>" ONE "\nFrom here on it goes uphill\n"));
	next_is(0, 35, 35 + 17 + 35 + 1 + 36 + 1 + 28);
	no_more();
}

static void what_does_not_begin_so_is_no_mbox(void)
{
	CU_ASSERT_FALSE(text_file(""));
	CU_ASSERT_FALSE(text_file("\n" ONE));
	CU_ASSERT_FALSE(text_file("Subject: 1\n\n"));
	CU_ASSERT_FALSE(text_file("From "));
	CU_ASSERT_FALSE(text_file("From a@b Sat Nov 21 without a time\n"));
	CU_ASSERT_FALSE(text_file("From a@b 17:59:21\n"));
	CU_ASSERT_FALSE(text_file("from a@b Sat Nov 21 17:59:21 2026\n"));
	CU_ASSERT_FALSE(mbox_open(&mbox, -1));
}

static void line_ends_of_both_kinds_separate(void)
{
	CU_ASSERT_TRUE(text_file("From a Sat 17:59\r\nx\r\n\r\nFrom b Sun 17:59\r\n\r\n"));
	next_is(0, 18, 23);
	next_is(23, 41, 43);
	no_more();
}

/* Lines longer than what is held, and separators on the border. */
static void long_lines_and_borders_make_no_difference(void)
{
	for (size_t before = 65536 - 40; before < 65536 + 4; before++) {
		size_t size = before + 2 + 35 + 1;
		char *text = malloc(size);
		memset(text, 'x', size);
		memcpy(text, ONE, 35);
		memcpy(text + before, "\n\n" ONE "y", 38);
		CU_ASSERT_TRUE(file(text, size));
		next_is(0, 35, before + 2);
		next_is(before + 2, before + 37, size);
		no_more();
		free(text);
	}
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("mbox", NULL, NULL);
	CU_ADD_TEST(suite, messages_begin_with_their_from_lines);
	CU_ADD_TEST(suite, a_from_line_without_an_empty_line_before_it_is_text);
	CU_ADD_TEST(suite, what_does_not_begin_so_is_no_mbox);
	CU_ADD_TEST(suite, line_ends_of_both_kinds_separate);
	CU_ADD_TEST(suite, long_lines_and_borders_make_no_difference);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
