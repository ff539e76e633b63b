// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/unwrap.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unwrap.h"

static char file[400000], out[400000];
static size_t size;
static ssize_t got;

static void start(void)
{
	size = 0;
}

static void bytes(const char *text, size_t length)
{
	memcpy(file + size, text, length);
	size += length;
}

static void record(char type, const char *data, size_t length)
{
	size_t left = length;

	file[size++] = type;
	do {
		file[size++] = (char)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
		left >>= 7;
	} while (left);
	bytes(data, length);
}

static void text(char type, const char *data)
{
	record(type, data, strlen(data));
}

static enum unwrap_end unwrap(uint64_t limit)
{
	int in = memfd_create("in", 0), to = memfd_create("out", 0);
	enum unwrap_end end;

	if (write(in, file, size) != (ssize_t)size)
		abort();
	end = unwrap_postfix(in, to, limit);
	got = pread(to, out, sizeof(out) - 1, 0);
	out[got > 0 ? got : 0] = 0;
	close(in);
	close(to);
	return end;
}

static void envelope(void)
{
	start();
	text('C', "          100             200               1               0             100");
	text('T', "1640995200 1");
	text('S', "a@example.org");
	text('N', "this is not the message yet");
	text('R', "b@example.org");
	text('M', "");
}

static void the_lines_between_m_and_x_come_out(void)
{
	envelope();
	text('N', "Subject: one");
	text('N', "");
	text('L', "two, ");
	text('L', "in ");
	text('N', "pieces");
	text('L', "no line end");
	text('X', "");
	text('N', "not the message any more");
	text('E', "");
	CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DONE);
	CU_ASSERT_STRING_EQUAL(out, "Subject: one\n\ntwo, in pieces\nno line end");
}

static void long_records_and_many_come_out_whole(void)
{
	static char line[70000];

	memset(line, 'l', sizeof(line));
	envelope();
	for (int i = 0; i < 4; i++)
		record('N', line, sizeof(line));
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(400000), UNWRAP_DONE);
	CU_ASSERT_EQUAL(got, 4 * (ssize_t)(sizeof(line) + 1));
	CU_ASSERT_EQUAL(out[69999], 'l');
	CU_ASSERT_EQUAL(out[70000], '\n');
	CU_ASSERT_EQUAL(out[got - 1], '\n');
}

static void zero_bytes_are_text_like_any_other(void)
{
	envelope();
	record('N', "a\0b", 3);
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(100), UNWRAP_DONE);
	CU_ASSERT_EQUAL(got, 4);
	CU_ASSERT_EQUAL(memcmp(out, "a\0b\n", 4), 0);
}

static void a_milter_s_jumps_are_followed_and_what_it_took_out_is_not(void)
{
	char target[16];
	size_t jump_at, back, end;

	envelope();
	text('N', "first");
	jump_at = size;
	text('p', "              0");
	text('w', "taken out");
	back = size;
	text('N', "last");
	text('X', "");
	text('E', "");
	CU_ASSERT_EQUAL(unwrap(100), UNWRAP_DONE);
	CU_ASSERT_STRING_EQUAL(out, "first\nlast\n"); /* 0: it goes on right behind */
	end = size;
	snprintf(target, sizeof(target), "%15zu", back);
	text('N', "put in");
	text('p', target);
	snprintf(target, sizeof(target), "%15zu", end);
	memcpy(file + jump_at + 2, target, 15);
	CU_ASSERT_EQUAL(unwrap(100), UNWRAP_DONE);
	CU_ASSERT_STRING_EQUAL(out, "first\nput in\nlast\n");
}

static void jumps_in_circles_end(void)
{
	char target[16];

	envelope();
	snprintf(target, sizeof(target), "%15zu", size);
	text('p', target);
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(1u << 30), UNWRAP_DAMAGED);
	envelope();
	snprintf(target, sizeof(target), "%15zu", size);
	text('N', "again and again");
	text('p', target);
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(1u << 30), UNWRAP_DAMAGED);
}

static void jumps_to_nowhere_are_damage(void)
{
	static const char *const targets[] = {"999999999999999", "-00000000000001", "              x", "1 1",
					      "99999999999999999999999999"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		envelope();
		text('p', targets[i]);
		text('X', "");
		CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DAMAGED);
	}
}

static void what_ends_too_early_is_damaged(void)
{
	envelope();
	text('N', "a line of the message");
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DONE);
	for (size_t whole = size; whole > 2; whole--) {
		size = whole - 1;
		CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DAMAGED);
	}
}

static void another_record_in_the_message_is_damage(void)
{
	envelope();
	text('N', "a line");
	text('S', "a second sender");
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DAMAGED);
	envelope();
	text('M', "");
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DAMAGED);
}

static void a_length_that_never_ends_is_damage(void)
{
	envelope();
	bytes("N\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12);
	CU_ASSERT_EQUAL(unwrap(1000), UNWRAP_DAMAGED);
	envelope();
	bytes("N\xff\xff\xff\x7f", 5); /* 256 MB that are not there */
	CU_ASSERT_EQUAL(unwrap(1u << 30), UNWRAP_DAMAGED);
}

static void the_limit_is_kept_to_the_byte(void)
{
	envelope();
	text('N', "12345");
	text('N', "789");
	text('X', "");
	CU_ASSERT_EQUAL(unwrap(10), UNWRAP_DONE);
	CU_ASSERT_EQUAL(unwrap(9), UNWRAP_TOO_LARGE);
	CU_ASSERT_EQUAL(unwrap(0), UNWRAP_TOO_LARGE);
}

static void other_files_are_no_queue_files(void)
{
	start();
	CU_ASSERT_EQUAL(unwrap(100), UNWRAP_NO_QUEUE_FILE);
	bytes("Return-Path: <a@b>\n", 19);
	CU_ASSERT_EQUAL(unwrap(100), UNWRAP_NO_QUEUE_FILE);
	CU_ASSERT_EQUAL(got, 0);
}

static void a_descriptor_that_does_not_take_it_is_io(void)
{
	int in = memfd_create("in", 0);

	envelope();
	text('N', "x");
	text('X', "");
	CU_ASSERT_EQUAL(write(in, file, size), (ssize_t)size);
	CU_ASSERT_EQUAL(unwrap_postfix(in, -1, 100), UNWRAP_IO);
	CU_ASSERT_EQUAL(unwrap_postfix(-1, in, 100), UNWRAP_IO);
	close(in);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("unwrap", NULL, NULL);
	CU_ADD_TEST(suite, the_lines_between_m_and_x_come_out);
	CU_ADD_TEST(suite, long_records_and_many_come_out_whole);
	CU_ADD_TEST(suite, zero_bytes_are_text_like_any_other);
	CU_ADD_TEST(suite, a_milter_s_jumps_are_followed_and_what_it_took_out_is_not);
	CU_ADD_TEST(suite, jumps_in_circles_end);
	CU_ADD_TEST(suite, jumps_to_nowhere_are_damage);
	CU_ADD_TEST(suite, what_ends_too_early_is_damaged);
	CU_ADD_TEST(suite, another_record_in_the_message_is_damage);
	CU_ADD_TEST(suite, a_length_that_never_ends_is_damage);
	CU_ADD_TEST(suite, the_limit_is_kept_to_the_byte);
	CU_ADD_TEST(suite, other_files_are_no_queue_files);
	CU_ADD_TEST(suite, a_descriptor_that_does_not_take_it_is_io);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
