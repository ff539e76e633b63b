// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/cases.c daemon/think/queue.c
#include <CUnit/Basic.h>
#include <stdlib.h>

#include "cases.h"

static struct cases *cases;

static int setup(void)
{
	return cases_open(&cases);
}

static int teardown(void)
{
	cases_close(&cases);
	return 0;
}

static struct generation file(uint64_t number, int64_t ctime_ns)
{
	struct generation generation = {
		.dev = 1, .ino = number, .size = 100, .ctime_ns = ctime_ns, .handle_type = 1, .handle_size = 8};

	for (int i = 0; i < 8; i++)
		generation.handle[i] = (uint8_t)(number >> (8 * i));
	return generation;
}

static void finish(struct file_case *file_case)
{
	while (cases_leave(cases, file_case) != NO_SLOT)
		;
	cases_end(cases, file_case);
}

static void ten_openers_of_one_file_share_one_case(void)
{
	struct generation a = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	for (uint32_t slot = 10; slot < 20; slot++) {
		CU_ASSERT_PTR_EQUAL(cases_find(cases, &a), begun);
		cases_join(cases, begun, slot, 1000 + slot);
	}
	CU_ASSERT_EQUAL(cases_count(cases), 1);
	CU_ASSERT_EQUAL(cases_waiting(cases), 10);
	for (uint32_t slot = 10; slot < 20; slot++)
		CU_ASSERT_EQUAL(cases_leave(cases, begun), slot);
	CU_ASSERT_EQUAL(cases_leave(cases, begun), NO_SLOT);
	finish(begun);
	CU_ASSERT_PTR_NULL(cases_find(cases, &a));
}

static void another_size_or_file_is_another_case(void)
{
	struct generation a = file(1, 10), b = file(2, 10), grown = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	grown.size++;
	CU_ASSERT_PTR_NULL(cases_find(cases, &b));
	CU_ASSERT_PTR_NULL(cases_find(cases, &grown));
	finish(begun);
}

static void a_renamed_file_joins_the_case_of_before(void)
{
	struct generation a = file(1, 10), renamed = file(1, 11);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	cases_start(cases, begun, CASE_SCANNING, 1);
	CU_ASSERT_PTR_EQUAL(cases_find(cases, &renamed), begun);
	finish(begun);
}

static void nobody_joins_a_scan_that_a_writer_touched(void)
{
	struct generation a = file(1, 10), by_handle = file(1, 0);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	by_handle.dev = by_handle.ino = by_handle.size = 0;
	cases_start(cases, begun, CASE_SCANNING, 1);
	CU_ASSERT_PTR_EQUAL(cases_find(cases, &a), begun);
	cases_touch(cases, &by_handle);
	CU_ASSERT_TRUE(begun->touched);
	CU_ASSERT_PTR_NULL(cases_find(cases, &a));
	finish(begun);
}

static void nobody_joins_a_scan_beside_a_writer(void)
{
	struct generation a = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	begun->writer = true;
	cases_start(cases, begun, CASE_SCANNING, 1);
	CU_ASSERT_PTR_NULL(cases_find(cases, &a));
	finish(begun);
}

static void the_earliest_deadline_expires_first_and_the_case_goes_on(void)
{
	struct generation a = file(1, 10), b = file(2, 10);
	struct file_case *one = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH),
			 *two = cases_begin(cases, &b, 4, 0, 0, 0, RANK_FRESH);

	cases_join(cases, one, 30, 500);
	cases_join(cases, two, 31, 300);
	cases_join(cases, one, 32, 400);
	CU_ASSERT_EQUAL(cases_due(cases), 300);
	CU_ASSERT_EQUAL(cases_expire(cases, 299), NO_SLOT);
	CU_ASSERT_EQUAL(cases_expire(cases, 450), 31);
	CU_ASSERT_EQUAL(cases_expire(cases, 450), 32);
	CU_ASSERT_EQUAL(cases_expire(cases, 450), NO_SLOT);
	CU_ASSERT_EQUAL(cases_count(cases), 2);
	CU_ASSERT_EQUAL(cases_leave(cases, one), 30);
	finish(one);
	finish(two);
	CU_ASSERT_EQUAL(cases_due(cases), UINT64_MAX);
}

static void thousands_of_deadlines_come_in_order(void)
{
	struct generation a = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);
	uint64_t last = 0, deadline[20000];
	uint32_t slot, seen = 0;

	srandom(7);
	for (slot = 0; slot < 20000; slot++) {
		deadline[slot] = 1 + (uint64_t)random() % 1000000;
		cases_join(cases, begun, slot, deadline[slot]);
	}
	for (slot = 0; slot < 20000; slot += 3)
		CU_ASSERT_TRUE_FATAL(cases_forget(cases, slot));
	CU_ASSERT_FALSE(cases_forget(cases, 0));
	while ((slot = cases_expire(cases, UINT64_MAX - 1)) != NO_SLOT) {
		CU_ASSERT_TRUE_FATAL(deadline[slot] >= last && slot % 3 != 0);
		last = deadline[slot];
		seen++;
	}
	CU_ASSERT_EQUAL(seen, 20000 - 6667);
	finish(begun);
}

static void a_waiting_reader_goes_before_fresh_files(void)
{
	struct generation a = file(1, 10), b = file(2, 10), c = file(3, 10);
	struct file_case *fresh = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH),
			 *asked = cases_begin(cases, &b, 4, 0, 0, 0, RANK_FRESH),
			 *later = cases_begin(cases, &c, 5, 0, 0, 0, RANK_FRESH);

	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, false), fresh);
	cases_join(cases, asked, 40, 1000);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, false), asked);
	cases_start(cases, asked, CASE_HASHING, 1);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, false), fresh);
	cases_join(cases, later, 41, 1000);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, false), later);
	finish(fresh);
	finish(asked);
	finish(later);
}

static void background_work_is_asked_for_by_itself_and_in_its_order(void)
{
	struct generation a = file(1, 10), b = file(2, 10), c = file(3, 10);
	struct file_case *swept = cases_begin(cases, &a, 3, 0, 0, 0, RANK_SWEEP);
	struct file_case *newest = cases_begin(cases, &b, 4, 0, 0, 0, RANK_RECHECK);
	struct file_case *older = cases_begin(cases, &c, 5, 0, 0, 0, RANK_RECHECK);

	CU_ASSERT_PTR_NULL(cases_turn(cases, 1, false, false));
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, true), newest);
	cases_start(cases, newest, CASE_HASHING, 1);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, true), older);
	cases_start(cases, older, CASE_HASHING, 1);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, true), swept);
	finish(swept);
	finish(newest);
	finish(older);
}

static void who_joins_a_case_of_the_background_moves_it_up(void)
{
	struct generation a = file(1, 10), b = file(2, 10);
	struct file_case *swept = cases_begin(cases, &a, 3, 0, 0, 0, RANK_SWEEP);
	struct file_case *written = cases_begin(cases, &b, 4, 0, 0, 0, RANK_SWEEP);

	cases_raise(cases, written, RANK_FRESH);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, false), written);
	cases_raise(cases, written, RANK_RECHECK);
	CU_ASSERT_EQUAL(cases_rank(written), RANK_FRESH);
	cases_join(cases, swept, 40, 1000);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, false, false), swept);
	CU_ASSERT_PTR_NULL(cases_turn(cases, 1, false, true));
	CU_ASSERT_EQUAL(cases_expire(cases, 1000), 40);
	cases_start(cases, swept, CASE_HASHING, 1);
	swept->hashed = true;
	cases_again(cases, swept, &a, 1, 1);
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 1, true, true), swept);
	finish(swept);
	finish(written);
}

static void a_file_just_written_ripens_before_its_turn(void)
{
	struct generation a = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 100, 110, RANK_FRESH);

	CU_ASSERT_EQUAL(begun->state, CASE_RIPENING);
	CU_ASSERT_EQUAL(cases_due(cases), 110);
	CU_ASSERT_PTR_NULL(cases_turn(cases, 109, false, false));
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 110, false, false), begun);
	finish(begun);
}

static void what_is_hashed_waits_in_the_other_queue(void)
{
	struct generation a = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	cases_start(cases, begun, CASE_HASHING, 1);
	begun->hashed = true;
	cases_again(cases, begun, &a, 2, 0);
	CU_ASSERT_PTR_NULL(cases_turn(cases, 2, false, false));
	CU_ASSERT_PTR_EQUAL(cases_turn(cases, 2, true, false), begun);
	finish(begun);
}

static void a_changed_file_is_found_by_its_new_generation(void)
{
	struct generation a = file(1, 10), changed = file(1, 20);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);

	changed.size = 7;
	cases_start(cases, begun, CASE_SCANNING, 1);
	cases_again(cases, begun, &changed, 2, 0);
	CU_ASSERT_PTR_EQUAL(cases_find(cases, &changed), begun);
	CU_ASSERT_PTR_NULL(cases_find(cases, &a));
	CU_ASSERT_EQUAL(begun->rounds, 1);
	finish(begun);
}

static void an_old_identity_finds_nothing(void)
{
	struct generation a = file(1, 10);
	struct file_case *begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);
	uint64_t id = begun->id;

	CU_ASSERT_PTR_EQUAL(cases_by_id(cases, id), begun);
	finish(begun);
	CU_ASSERT_PTR_NULL(cases_by_id(cases, id));
	begun = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);
	CU_ASSERT_PTR_NULL(cases_by_id(cases, id));
	CU_ASSERT_PTR_NULL(cases_by_id(cases, 0));
	CU_ASSERT_PTR_NULL(cases_by_id(cases, UINT64_MAX));
	finish(begun);
}

static void a_full_table_says_so_and_recovers(void)
{
	static struct file_case *all[CASES_MAX];
	struct generation a;

	for (uint32_t i = 0; i < CASES_MAX; i++) {
		a = file(i + 1, 10);
		all[i] = cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH);
		CU_ASSERT_PTR_NOT_NULL_FATAL(all[i]);
	}
	a = file(CASES_MAX + 1, 10);
	CU_ASSERT_PTR_NULL(cases_begin(cases, &a, 3, 0, 0, 0, RANK_FRESH));
	for (uint32_t i = 0; i < CASES_MAX; i++)
		finish(all[i]);
	CU_ASSERT_EQUAL(cases_count(cases), 0);
	CU_ASSERT_PTR_NULL(cases_turn(cases, 1, false, false));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("cases", setup, teardown);
	CU_ADD_TEST(suite, ten_openers_of_one_file_share_one_case);
	CU_ADD_TEST(suite, another_size_or_file_is_another_case);
	CU_ADD_TEST(suite, a_renamed_file_joins_the_case_of_before);
	CU_ADD_TEST(suite, nobody_joins_a_scan_that_a_writer_touched);
	CU_ADD_TEST(suite, nobody_joins_a_scan_beside_a_writer);
	CU_ADD_TEST(suite, the_earliest_deadline_expires_first_and_the_case_goes_on);
	CU_ADD_TEST(suite, thousands_of_deadlines_come_in_order);
	CU_ADD_TEST(suite, a_waiting_reader_goes_before_fresh_files);
	CU_ADD_TEST(suite, background_work_is_asked_for_by_itself_and_in_its_order);
	CU_ADD_TEST(suite, who_joins_a_case_of_the_background_moves_it_up);
	CU_ADD_TEST(suite, a_file_just_written_ripens_before_its_turn);
	CU_ADD_TEST(suite, what_is_hashed_waits_in_the_other_queue);
	CU_ADD_TEST(suite, a_changed_file_is_found_by_its_new_generation);
	CU_ADD_TEST(suite, an_old_identity_finds_nothing);
	CU_ADD_TEST(suite, a_full_table_says_so_and_recovers);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
