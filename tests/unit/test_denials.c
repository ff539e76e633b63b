// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/denials.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "denials.h"

#define SECOND 1000000000LL
#define START (1790000000LL * SECOND)

static struct denials denials;

struct sample {
	struct record record;
	char texts[512];
	size_t size;
};

/* A record of one denial: infected file number ino, opened by user uid with /bin/EXE. */
static struct sample *sample(int64_t time_ns, uint64_t ino, uint32_t uid, const char *exe)
{
	static struct sample made;
	const char *texts[RECORD_TEXTS] = {"Test.Signature", "/watched", "conf:1", "", "", "", exe, "/watched/file"};
	char *at = made.texts;

	memset(&made, 0, sizeof(made));
	made.record = (struct record){.time_ns = time_ns,
				      .wait_ns = 5,
				      .dev = 1,
				      .ino = ino,
				      .pid = 7,
				      .uid = uid,
				      .answer = ANSWER_DENY,
				      .verdict = VERDICT_INFECTED};
	for (int i = 0; i < RECORD_TEXTS; i++) {
		made.record.sizes[i] = (uint16_t)strlen(texts[i]);
		at = stpcpy(at, texts[i]);
	}
	made.size = sizeof(made.record) + (size_t)(at - made.texts);
	return &made;
}

static struct denial *add(const struct sample *made)
{
	return denials_add(&denials, &made->record, made->size, 1);
}

static int start(void)
{
	denials_start(&denials, 100);
	return 0;
}

static int end(void)
{
	denials_end(&denials);
	return 0;
}

static void equal_denials_are_counted_in_one_row_for_a_minute(void)
{
	struct denial *first, *again;

	start();
	first = add(sample(START, 1, 0, "/bin/cat"));
	again = add(sample(START + 59 * SECOND, 1, 0, "/bin/cat"));
	CU_ASSERT_PTR_EQUAL(first, again);
	CU_ASSERT_EQUAL(first->count, 2);
	CU_ASSERT_EQUAL(first->first_ns, START);
	CU_ASSERT_EQUAL(first->last_ns, START + 59 * SECOND);
	again = add(sample(START + 60 * SECOND, 1, 0, "/bin/cat"));
	CU_ASSERT_PTR_NOT_EQUAL(first, again);
	CU_ASSERT_EQUAL(again->id, 101);
	CU_ASSERT_EQUAL(denials.next_id, 102);
	end();
}

/* The sample with a Message-ID, which stands right before the detail that is empty. */
static struct sample *sample_of_message(int64_t time_ns, const char *message_id)
{
	struct sample *made = sample(time_ns, 1, 0, "/bin/cat");
	size_t before = 0, size = strlen(message_id);

	for (int i = 0; i < TEXT_MESSAGE_ID; i++)
		before += made->record.sizes[i];
	memmove(made->texts + before + size, made->texts + before, made->size - sizeof(made->record) - before);
	memcpy(made->texts + before, message_id, size);
	made->record.sizes[TEXT_MESSAGE_ID] = (uint16_t)size;
	made->size += size;
	return made;
}

/* Nobody was denied anything. */
static struct sample *report_of_message(int64_t time_ns, const char *message_id)
{
	struct sample *made = sample_of_message(time_ns, message_id);

	made->record.would = true;
	return made;
}

static void denials_are_equal_whatever_message_lay_there(void)
{
	struct denial *first;

	start();
	first = add(sample_of_message(START, "<1@example>"));
	CU_ASSERT_PTR_EQUAL(add(sample_of_message(START + 1, "<2@example>")), first);
	CU_ASSERT_EQUAL(first->count, 2);
	end();
}

static void two_messages_of_one_reported_file_are_two_rows(void)
{
	struct denial *first, *other;
	struct sample *unnamed;

	start();
	first = add(report_of_message(START, "<1@example>"));
	other = add(report_of_message(START + 1, "<2@example>"));
	CU_ASSERT_PTR_NOT_EQUAL(first, other);
	CU_ASSERT_PTR_EQUAL(add(report_of_message(START + 2, "<1@example>")), first);
	/* One that names none is counted with either. */
	unnamed = sample(START + 3, 1, 0, "/bin/cat");
	unnamed->record.would = true;
	add(unnamed);
	CU_ASSERT_EQUAL(first->count + other->count, 4);
	CU_ASSERT_EQUAL(denials.next_id, 102);
	end();
}

static void the_longest_wait_of_a_row_is_kept(void)
{
	struct sample *made;
	struct denial *row;

	start();
	add(sample(START, 1, 0, "/bin/cat"));
	made = sample(START + 1, 1, 0, "/bin/cat");
	made->record.wait_ns = 900;
	add(made);
	row = add(sample(START + 2, 1, 0, "/bin/cat"));
	CU_ASSERT_EQUAL(row->wait_ns, 900);
	CU_ASSERT_EQUAL(row->count, 3);
	end();
}

static void another_file_user_program_verdict_or_answer_is_another_row(void)
{
	struct sample *made;

	start();
	add(sample(START, 1, 0, "/bin/cat"));
	add(sample(START, 2, 0, "/bin/cat"));
	add(sample(START, 1, 1, "/bin/cat"));
	add(sample(START, 1, 0, "/bin/dog"));
	made = sample(START, 1, 0, "/bin/cat");
	made->record.would = 1;
	add(made);
	made = sample(START, 1, 0, "/bin/cat");
	made->record.verdict = VERDICT_UNSCANNED;
	made->record.reason = REASON_TIMEOUT;
	add(made);
	made = sample(START, 1, 0, "/bin/cat");
	made->record.access = ACCESS_EXEC;
	add(made);
	CU_ASSERT_EQUAL(denials.next_id - denials.first_id, 7);
	end();
}

static void the_oldest_row_makes_way_and_is_counted_if_it_was_never_saved(void)
{
	start();
	for (int i = 0; i < DENIALS_KEPT; i++)
		add(sample(START, (uint64_t)i + 1, 0, "/bin/cat"));
	CU_ASSERT_EQUAL(denials.forgotten, 0);
	denials_saved(&denials);
	add(sample(START, 2, 0, "/bin/cat")); /* row 101 counts two, the history has one of them */
	add(sample(START, 5000, 0, "/bin/cat"));
	CU_ASSERT_EQUAL(denials.forgotten, 0);
	CU_ASSERT_PTR_NULL(denials_get(&denials, 100));
	add(sample(START, 5001, 0, "/bin/cat"));
	CU_ASSERT_EQUAL(denials.forgotten, 1);
	CU_ASSERT_PTR_NOT_NULL(denials_get(&denials, 102));
	end();
}

static void lost_records_are_counted_in_one_row_for_a_minute(void)
{
	struct denial *gap;

	start();
	denials_add_gap(&denials, START, 3);
	add(sample(START, 1, 0, "/bin/cat"));
	gap = denials_add_gap(&denials, START + SECOND, 4);
	CU_ASSERT_EQUAL(gap->id, 100);
	CU_ASSERT_EQUAL(gap->kind, ROW_GAP);
	CU_ASSERT_EQUAL(gap->count, 7);
	end();
}

static void a_record_with_wrong_sizes_or_enums_is_not_sound(void)
{
	struct sample *made = sample(START, 1, 0, "/bin/cat");

	CU_ASSERT_TRUE(record_is_sound(&made->record, made->size));
	CU_ASSERT_FALSE(record_is_sound(&made->record, made->size - 1));
	CU_ASSERT_FALSE(record_is_sound(&made->record, made->size + 1));
	CU_ASSERT_FALSE(record_is_sound(&made->record, 3));
	made->record.sizes[TEXT_PATH] = 65535;
	CU_ASSERT_FALSE(record_is_sound(&made->record, made->size));
	made = sample(START, 1, 0, "/bin/cat");
	made->record.verdict = VERDICT_KINDS;
	CU_ASSERT_FALSE(record_is_sound(&made->record, made->size));
	made = sample(START, 1, 0, "/bin/cat");
	made->record.phase = 200;
	CU_ASSERT_FALSE(record_is_sound(&made->record, made->size));
}

static bool wanted(const struct recorder_request *request)
{
	static struct denial_row row;

	start();
	denial_to_row(add(sample(START, 1, 1000, "/bin/cat")), &row);
	end();
	return row_is_wanted(request, &row);
}

static void a_path_filter_means_itself_and_what_is_below_and_no_neighbour(void)
{
	struct recorder_request request = {.uid = UINT32_MAX};

	CU_ASSERT_TRUE(wanted(&request));
	strcpy(request.path, "/watched");
	CU_ASSERT_TRUE(wanted(&request));
	strcpy(request.path, "/watched/");
	CU_ASSERT_TRUE(wanted(&request));
	strcpy(request.path, "/watched/file");
	CU_ASSERT_TRUE(wanted(&request));
	strcpy(request.path, "/");
	CU_ASSERT_TRUE(wanted(&request));
	strcpy(request.path, "/watch");
	CU_ASSERT_FALSE(wanted(&request));
	strcpy(request.path, "/watched/file/x");
	CU_ASSERT_FALSE(wanted(&request));
}

static void a_denied_execution_is_found_by_its_reason(void)
{
	struct recorder_request request = {.uid = UINT32_MAX, .reason = RECORDER_REASON_EXEC_NEVER};
	struct denial_row row = {.frame = {.kind = ROW_RECORD, .verdict.reason = REASON_EXEC_NEVER}};

	CU_ASSERT_TRUE(row_is_wanted(&request, &row));
	request.reason = RECORDER_REASON_INFECTED;
	CU_ASSERT_FALSE(row_is_wanted(&request, &row));
}

static void filters_by_user_reason_and_time_hold(void)
{
	struct recorder_request request = {.uid = 1000};

	CU_ASSERT_TRUE(wanted(&request));
	request.uid = 1001;
	CU_ASSERT_FALSE(wanted(&request));
	request = (struct recorder_request){.uid = UINT32_MAX, .reason = RECORDER_REASON_INFECTED};
	CU_ASSERT_TRUE(wanted(&request));
	request.reason = REASON_TIMEOUT;
	CU_ASSERT_FALSE(wanted(&request));
	request.reason = RECORDER_REASON_EXEC_NEVER;
	CU_ASSERT_FALSE(wanted(&request));
	request = (struct recorder_request){.uid = UINT32_MAX, .since_ns = START};
	CU_ASSERT_TRUE(wanted(&request));
	request.since_ns = START + 1;
	CU_ASSERT_FALSE(wanted(&request));
}

static void a_row_carries_every_text_of_its_record(void)
{
	static struct denial_row row;

	start();
	denial_to_row(add(sample(START, 1, 1000, "/bin/cat")), &row);
	CU_ASSERT_STRING_EQUAL(row.frame.verdict.signature, "Test.Signature");
	CU_ASSERT_STRING_EQUAL(row.frame.watch, "/watched");
	CU_ASSERT_STRING_EQUAL(row.frame.policy, "conf:1");
	CU_ASSERT_EQUAL(row.frame.exe_size, 8);
	CU_ASSERT_NSTRING_EQUAL(row.frame.exe, "/bin/cat", 8);
	CU_ASSERT_EQUAL(row.frame.path_size, 13);
	CU_ASSERT_NSTRING_EQUAL(row.frame.path, "/watched/file", 13);
	CU_ASSERT_EQUAL(row.frame.uid, 1000);
	end();
}

static void rows_without_an_inode_are_told_apart_by_path(void)
{
	struct sample *made;

	start();
	made = sample(START, 0, 0, "/bin/cat");
	add(made);
	made->texts[made->size - sizeof(made->record) - 1] = 'X';
	add(made);
	CU_ASSERT_EQUAL(denials.next_id, 102);
	end();
}

#define TEST(name) CU_add_test(suite, #name, name)
int main(void)
{
	CU_pSuite suite;
	unsigned failed;

	CU_initialize_registry();
	suite = CU_add_suite("denials", NULL, NULL);
	TEST(equal_denials_are_counted_in_one_row_for_a_minute);
	TEST(denials_are_equal_whatever_message_lay_there);
	TEST(two_messages_of_one_reported_file_are_two_rows);
	TEST(the_longest_wait_of_a_row_is_kept);
	TEST(another_file_user_program_verdict_or_answer_is_another_row);
	TEST(the_oldest_row_makes_way_and_is_counted_if_it_was_never_saved);
	TEST(lost_records_are_counted_in_one_row_for_a_minute);
	TEST(a_record_with_wrong_sizes_or_enums_is_not_sound);
	TEST(a_path_filter_means_itself_and_what_is_below_and_no_neighbour);
	TEST(a_denied_execution_is_found_by_its_reason);
	TEST(filters_by_user_reason_and_time_hold);
	TEST(a_row_carries_every_text_of_its_record);
	TEST(rows_without_an_inode_are_told_apart_by_path);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
