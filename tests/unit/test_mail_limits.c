// SPDX-License-Identifier: GPL-2.0-only
// objects: tools/mail_limits.c tools/command.c
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "mail_limits.h"

#define M (1ull << 20)

static char said[8][512];
static unsigned count;

static void note(void *owner, const char *what, const char *remedy)
{
	(void)owner;
	if (count < 8)
		snprintf(said[count], sizeof(said[count]), "%s; %s", what, remedy);
	count++;
}

static unsigned compare(struct mail_limits limits, struct scanner_limits scanner)
{
	count = 0;
	memset(said, 0, sizeof(said));
	limits_compare(&limits, &scanner, note, NULL);
	return count;
}

static struct limit known(uint64_t bytes)
{
	return (struct limit){.state = LIMIT_KNOWN, .bytes = bytes};
}

static const struct scanner_limits defaults = {.max_file_size = 100 * M, .max_scan_size = 200 * M};

static void a_limit_below_ours_is_fine_and_one_above_is_told_with_both_numbers(void)
{
	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = known(100 * M)}, defaults), 0);
	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = known(100 * M + 1)}, defaults), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "104857601"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "104857600"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "raise max-file-size or lower message_size_limit"));
	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = known(0)}, defaults), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "any size"));
}

static void what_is_not_known_is_not_told(void)
{
	CU_ASSERT_EQUAL(compare((struct mail_limits){0}, defaults), 0);
	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = {.state = LIMIT_NOT_TOLD}}, defaults), 0);
}

/* A message of 90M holds 67M once its base64 is taken off: 157M in all. */
static void the_layers_of_a_message_count_against_max_scan_size(void)
{
	struct scanner_limits scanner = {.max_file_size = 100 * M, .max_scan_size = 150 * M};

	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = known(90 * M)}, scanner), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "raise max-scan-size"));
	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = known(85 * M)}, scanner), 0);
	CU_ASSERT_EQUAL(compare((struct mail_limits){.message = known(90 * M)}, defaults), 0);
}

static void files_of_many_messages_are_compared_where_there_is_such_a_watch(void)
{
	struct mail_limits limits = {.mailbox = known(0), .virtual_mailbox = known(200 * M), .rotate = known(300 * M)};
	struct scanner_limits scanner = defaults;

	CU_ASSERT_EQUAL(compare(limits, scanner), 0);
	scanner.mbox = true;
	CU_ASSERT_EQUAL(compare(limits, scanner), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "mailbox_size_limit = 0"));
	scanner.mdbox = true;
	CU_ASSERT_EQUAL(compare(limits, scanner), 3);
	CU_ASSERT_PTR_NOT_NULL(strstr(said[2], "mdbox_rotate_size"));
}

static void dovecots_own_limit_is_told_where_it_has_one(void)
{
	CU_ASSERT_EQUAL(compare((struct mail_limits){.append = known(0)}, defaults), 0);
	CU_ASSERT_EQUAL(compare((struct mail_limits){.append = known(101 * M)}, defaults), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said[0], "quota_max_mail_size"));
}

static struct limit from(const char *text)
{
	return limit_from(text, strlen(text));
}

static void sizes_are_read_as_both_write_them(void)
{
	static const char *const wrong[] = {"yes", "-1",       "10 Q", "10M10", "99999999999999999999",
					    "M",   "\x1b[31m", NULL};

	CU_ASSERT_EQUAL(from("10240000").bytes, 10240000);
	CU_ASSERT_EQUAL(from("10 M").bytes, 10 * M);
	CU_ASSERT_EQUAL(from("10M ").bytes, 10 * M);
	CU_ASSERT_EQUAL(from("2 G").bytes, 2048 * M);
	CU_ASSERT_EQUAL(from("0").bytes, 0);
	CU_ASSERT_EQUAL(from("0").state, LIMIT_KNOWN);
	CU_ASSERT_EQUAL(from("").state, LIMIT_KNOWN);
	CU_ASSERT_EQUAL(from("unlimited").bytes, 0);
	for (size_t i = 0; wrong[i]; i++)
		CU_ASSERT_EQUAL(from(wrong[i]).state, LIMIT_NOT_TOLD);
}

static int run(const char *script, unsigned patience_ms, size_t most, struct command *command)
{
	*command = (struct command){
		.argv = {"/bin/sh", "-c", script, NULL}, .patience_ms = patience_ms, .output_most = most};
	return command_run(command);
}

static void a_program_is_heard_to_its_end_and_no_longer_than_it_is_given(void)
{
	struct command command;

	CU_ASSERT_EQUAL(run("echo one; echo two; echo three >&2", 5000, 4096, &command), 0);
	CU_ASSERT_STRING_EQUAL(command.output, "one\ntwo\n");
	CU_ASSERT_STRING_EQUAL(command.said, "three\n");
	command_free(&command);
	CU_ASSERT_EQUAL(run("exit 7", 5000, 4096, &command), 7);
	command_free(&command);
	CU_ASSERT_EQUAL(run("exec sleep 60", 100, 4096, &command), -ETIMEDOUT);
	command_free(&command);
	CU_ASSERT_EQUAL(run("yes", 5000, 100000, &command), -E2BIG);
	command_free(&command);
	CU_ASSERT_EQUAL(run("yes >&2", 200, 4096, &command), -ETIMEDOUT);
	command_free(&command);
	CU_ASSERT_EQUAL(run("kill -9 $$", 5000, 4096, &command), -ECHILD);
	command_free(&command);
	command = (struct command){.argv = {"no-such-program", NULL}, .patience_ms = 1000, .output_most = 10};
	CU_ASSERT_EQUAL(command_run(&command), -ENOENT);
	command_free(&command);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("mail_limits", NULL, NULL);
	CU_ADD_TEST(suite, a_limit_below_ours_is_fine_and_one_above_is_told_with_both_numbers);
	CU_ADD_TEST(suite, what_is_not_known_is_not_told);
	CU_ADD_TEST(suite, the_layers_of_a_message_count_against_max_scan_size);
	CU_ADD_TEST(suite, files_of_many_messages_are_compared_where_there_is_such_a_watch);
	CU_ADD_TEST(suite, dovecots_own_limit_is_told_where_it_has_one);
	CU_ADD_TEST(suite, sizes_are_read_as_both_write_them);
	CU_ADD_TEST(suite, a_program_is_heard_to_its_end_and_no_longer_than_it_is_given);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
