// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/restart.c
#include <CUnit/Basic.h>

#include "restart.h"

#define MS 1000000ull

static void first_restart_comes_after_100_ms(void)
{
	struct restart restart;

	restart_init(&restart);
	restart_started(&restart, 1000 * MS, 1500 * MS);
	restart_ended(&restart, 2000 * MS);
	CU_ASSERT_EQUAL(restart.due_ns, 2100 * MS);
	CU_ASSERT_EQUAL(restart.failures, 1);
}

static void delay_doubles_up_to_five_seconds(void)
{
	static const uint64_t expected[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
	struct restart restart;

	restart_init(&restart);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		restart_started(&restart, 0, MS);
		restart_ended(&restart, 10 * MS);
		CU_ASSERT_EQUAL(restart.due_ns, 10 * MS + expected[i] * MS);
	}
	CU_ASSERT_EQUAL(restart.failures, 9);
}

static void one_success_sets_the_delay_back(void)
{
	struct restart restart;

	restart_init(&restart);
	for (int i = 0; i < 6; i++)
		restart_ended(&restart, 0);
	restart_succeeded(&restart);
	CU_ASSERT_EQUAL(restart.failures, 0);
	restart_ended(&restart, 0);
	CU_ASSERT_EQUAL(restart.due_ns, 100 * MS);
}

static void a_start_alone_is_no_success(void)
{
	struct restart restart;

	restart_init(&restart);
	restart_ended(&restart, 0);
	restart_started(&restart, 100 * MS, MS);
	restart_beat(&restart, 101 * MS);
	restart_ended(&restart, 200 * MS);
	CU_ASSERT_EQUAL(restart.due_ns, 400 * MS);
}

static void silence_longer_than_the_limit_is_a_standstill(void)
{
	struct restart restart;

	restart_init(&restart);
	restart_started(&restart, 1000 * MS, 1500 * MS);
	CU_ASSERT_FALSE(restart_stands_still(&restart, 1000 * MS));
	CU_ASSERT_FALSE(restart_stands_still(&restart, 2500 * MS));
	CU_ASSERT_TRUE(restart_stands_still(&restart, 2501 * MS));
	restart_beat(&restart, 2400 * MS);
	CU_ASSERT_FALSE(restart_stands_still(&restart, 3900 * MS));
	CU_ASSERT_TRUE(restart_stands_still(&restart, 3901 * MS));
}

static void a_beat_from_the_future_is_no_standstill(void)
{
	struct restart restart;

	restart_init(&restart);
	restart_started(&restart, 5000 * MS, 1500 * MS);
	CU_ASSERT_FALSE(restart_stands_still(&restart, 1000 * MS));
}

static void our_own_pause_is_forgiven(void)
{
	struct restart restart;

	restart_init(&restart);
	restart_started(&restart, 1000 * MS, 1500 * MS);
	restart_forgive(&restart, 60000 * MS);
	CU_ASSERT_FALSE(restart_stands_still(&restart, 62000 * MS));
	CU_ASSERT_TRUE(restart_stands_still(&restart, 62501 * MS));
}

static struct restart silent_since_a_second(void)
{
	struct restart restart;

	restart_init(&restart);
	restart_started(&restart, 1000 * MS, 2000 * MS);
	return restart;
}

static void time_without_a_processor_is_forgiven(void)
{
	struct restart restart = silent_since_a_second();

	restart_looked(&restart, 1500 * MS, true, 7 * MS);
	CU_ASSERT_EQUAL(restart_looked(&restart, 61500 * MS, true, 7 * MS), 60000 * MS);
	CU_ASSERT_EQUAL(restart.starved_ns, 60000 * MS);
	CU_ASSERT_FALSE(restart_stands_still(&restart, 63000 * MS));
	CU_ASSERT_TRUE(restart_stands_still(&restart, 63001 * MS));
}

static void time_that_it_ran_is_not_forgiven(void)
{
	struct restart restart = silent_since_a_second();

	restart_looked(&restart, 1500 * MS, true, 7 * MS);
	CU_ASSERT_EQUAL(restart_looked(&restart, 2500 * MS, true, 607 * MS), 400 * MS);
	CU_ASSERT_EQUAL(restart_looked(&restart, 3400 * MS, true, 1507 * MS), 0);
	CU_ASSERT_TRUE(restart_stands_still(&restart, 3401 * MS));
}

static void sleep_is_not_forgiven(void)
{
	struct restart restart = silent_since_a_second();

	restart_looked(&restart, 1500 * MS, true, 7 * MS);
	CU_ASSERT_EQUAL(restart_looked(&restart, 2000 * MS, false, 7 * MS), 0);
	CU_ASSERT_EQUAL(restart_looked(&restart, 2500 * MS, true, 7 * MS), 0);
	CU_ASSERT_TRUE(restart_stands_still(&restart, 3001 * MS));
}

static void each_silence_is_looked_at_anew(void)
{
	struct restart restart = silent_since_a_second();

	restart_looked(&restart, 1500 * MS, true, 7 * MS);
	restart_looked(&restart, 2500 * MS, true, 7 * MS);
	restart_beat(&restart, 2600 * MS);
	CU_ASSERT_EQUAL(restart.starved_ns, 0);
	CU_ASSERT_EQUAL(restart_looked(&restart, 4000 * MS, true, 8 * MS), 0);
	CU_ASSERT_TRUE(restart_stands_still(&restart, 4601 * MS));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"the first restart comes after 100 ms", first_restart_comes_after_100_ms},
		{"the delay doubles up to five seconds", delay_doubles_up_to_five_seconds},
		{"one success sets the delay back", one_success_sets_the_delay_back},
		{"a start alone is no success", a_start_alone_is_no_success},
		{"silence longer than the limit is a standstill", silence_longer_than_the_limit_is_a_standstill},
		{"a beat from the future is no standstill", a_beat_from_the_future_is_no_standstill},
		{"our own pause is forgiven", our_own_pause_is_forgiven},
		{"time without a processor is forgiven", time_without_a_processor_is_forgiven},
		{"time that it ran is not forgiven", time_that_it_ran_is_not_forgiven},
		{"sleep is not forgiven", sleep_is_not_forgiven},
		{"each silence is looked at anew", each_silence_is_looked_at_anew},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"restart", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
