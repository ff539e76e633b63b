// SPDX-License-Identifier: GPL-2.0-only
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static void quoted_is(const char *text, const char *expected)
{
	char out[512];
	size_t length = text_quote(out, sizeof(out), text, strlen(text));

	CU_ASSERT_STRING_EQUAL(out, expected);
	CU_ASSERT_EQUAL(length, strlen(expected));
}

static void printable_text_stays_as_it_is(void)
{
	quoted_is("", "");
	quoted_is("/var/vmail/a b;$(x)'\"", "/var/vmail/a b;$(x)'\"");
	quoted_is("\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7");
	quoted_is("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

static void control_characters_and_backslashes_are_shown(void)
{
	quoted_is("a\nb\r\tc\033[2J", "a\\x0ab\\x0d\\x09c\\x1b[2J");
	quoted_is("\x7f\\", "\\x7f\\x5c");
	quoted_is("\\x41", "\\x5cx41");                        /* nobody can write an escape of his own */
	quoted_is("\xc2\x80\xc2\x9b", "\\xc2\\x80\\xc2\\x9b"); /* C1: another way to begin an escape sequence */
}

static void zero_bytes_are_shown(void)
{
	char out[64];

	CU_ASSERT_EQUAL(text_quote(out, sizeof(out), "a\0b", 3), 6);
	CU_ASSERT_STRING_EQUAL(out, "a\\x00b");
}

static void bytes_that_are_not_utf8_are_shown(void)
{
	quoted_is("\xff\xfe", "\\xff\\xfe");
	quoted_is("\x80", "\\x80");
	quoted_is("\xc3", "\\xc3");                            /* cut */
	quoted_is("\xe2\x82", "\\xe2\\x82");                   /* cut */
	quoted_is("\xc3(", "\\xc3(");                          /* no second byte */
	quoted_is("\xc0\xaf", "\\xc0\\xaf");                   /* overlong / */
	quoted_is("\xe0\x80\xaf", "\\xe0\\x80\\xaf");          /* overlong / */
	quoted_is("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"); /* overlong / */
	quoted_is("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
	quoted_is("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
	quoted_is("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80");
}

static void characters_that_turn_or_break_lines_are_shown(void)
{
	quoted_is("a\xe2\x80\xae"
		  "b",
		  "a\\xe2\\x80\\xaeb");                                          /* right-to-left override */
	quoted_is("\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9"); /* isolates */
	quoted_is("\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"); /* line and paragraph separator */
	quoted_is("\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", "\\xd8\\x9c\\xe2\\x80\\x8e\\xe2\\x80\\x8f");
}

static void what_does_not_fit_is_cut_at_a_whole_character(void)
{
	char out[8];

	memset(out, 'z', sizeof(out));
	CU_ASSERT_EQUAL(text_quote(out, 5, "abcdefgh", 8), 4);
	CU_ASSERT_STRING_EQUAL(out, "abcd");
	CU_ASSERT_EQUAL(out[5], 'z');
	CU_ASSERT_EQUAL(text_quote(out, 5, "a\nb", 3), 1); /* the escape needs four and the zero */
	CU_ASSERT_STRING_EQUAL(out, "a");
	CU_ASSERT_EQUAL(text_quote(out, 6, "a\nb", 3), 5);
	CU_ASSERT_STRING_EQUAL(out, "a\\x0a");
	CU_ASSERT_EQUAL(text_quote(out, 6, "abc\xe2\x82\xac", 6), 3);
	CU_ASSERT_STRING_EQUAL(out, "abc");
}

/* Runs with a pipe as standard error; what was written is in text. */
static int saved, pipes[2];
static char text[70000];

static void capture(void)
{
	CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	saved = dup(STDERR_FILENO);
	dup2(pipes[1], STDERR_FILENO);
}

static void release(void)
{
	ssize_t got;

	dup2(saved, STDERR_FILENO);
	close(saved);
	got = read(pipes[0], text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = 0;
	close(pipes[0]);
	close(pipes[1]);
}

static void a_line_is_one_line_whatever_is_in_it(void)
{
	log_open("tester");
	capture();
	log_line("%s and %d", "a\nmailwardd: forged\033[31m", 5);
	release();
	CU_ASSERT_STRING_EQUAL(text, "tester: a\\x0amailwardd: forged\\x1b[31m and 5\n");
}

static void a_long_line_is_cut_and_still_ends(void)
{
	static char longer[10000];

	memset(longer, '\n', sizeof(longer) - 1);
	capture();
	log_line("%s", longer);
	release();
	CU_ASSERT_TRUE(strlen(text) < 2048);
	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
}

static void a_full_pipe_never_waits_and_the_gap_is_told(void)
{
	capture();
	fcntl(pipes[1], F_SETPIPE_SZ, 4096);
	alarm(10);
	for (int i = 0; i < 5000; i++)
		log_line("line %d", i);
	alarm(0);
	CU_ASSERT_TRUE(read(pipes[0], text, sizeof(text)) > 0);
	log_line("after");
	release();
	CU_ASSERT_TRUE(strstr(text, " lines dropped) after\n") != NULL);
	capture();
	log_line("next");
	release();
	CU_ASSERT_STRING_EQUAL(text, "tester: next\n");
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("log", NULL, NULL);
	CU_ADD_TEST(suite, printable_text_stays_as_it_is);
	CU_ADD_TEST(suite, control_characters_and_backslashes_are_shown);
	CU_ADD_TEST(suite, zero_bytes_are_shown);
	CU_ADD_TEST(suite, bytes_that_are_not_utf8_are_shown);
	CU_ADD_TEST(suite, characters_that_turn_or_break_lines_are_shown);
	CU_ADD_TEST(suite, what_does_not_fit_is_cut_at_a_whole_character);
	CU_ADD_TEST(suite, a_line_is_one_line_whatever_is_in_it);
	CU_ADD_TEST(suite, a_long_line_is_cut_and_still_ends);
	CU_ADD_TEST(suite, a_full_pipe_never_waits_and_the_gap_is_told);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
