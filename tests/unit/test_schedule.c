// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/schedule.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schedule.h"

/* The local calendar as the C library knows it; the steward has the same. */
static int64_t local(void *owner, int64_t around, int days, unsigned minute)
{
	time_t at = around;
	struct tm day;

	(void)owner;
	localtime_r(&at, &day);
	day.tm_mday += days;
	day.tm_hour = (int)(minute / 60);
	day.tm_min = (int)(minute % 60);
	day.tm_sec = 0;
	day.tm_isdst = -1;
	return mktime(&day);
}

static struct schedule schedule(const char *zone, unsigned minute)
{
	setenv("TZ", zone, 1);
	tzset();
	return (struct schedule){.minute = minute, .known_s = 1, .local = local};
}

static int64_t at(int year, int month, int day, int hour, int minute)
{
	struct tm when = {.tm_year = year - 1900,
			  .tm_mon = month - 1,
			  .tm_mday = day,
			  .tm_hour = hour,
			  .tm_min = minute,
			  .tm_isdst = -1};

	return mktime(&when);
}

static void the_next_one_is_today_or_tomorrow(void)
{
	struct schedule daily = schedule("UTC0", 180);

	daily.last_s = at(2026, 5, 4, 3, 0);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 12, 0)), at(2026, 5, 5, 3, 0));
	daily.last_s = at(2026, 5, 4, 2, 59);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 2, 59)), at(2026, 5, 4, 3, 0));
	daily.last_s = at(2026, 12, 31, 23, 59);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 12, 31, 23, 59)), at(2027, 1, 1, 3, 0));
}

static void a_new_schedule_has_missed_nothing(void)
{
	struct schedule daily = schedule("UTC0", 180);

	daily.known_s = at(2026, 5, 4, 12, 0);
	daily.start_s = at(2026, 5, 4, 12, 0);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 12, 5)), at(2026, 5, 5, 3, 0));
}

static void the_spread_comes_on_top(void)
{
	struct schedule daily = schedule("UTC0", 23 * 60 + 50);

	daily.spread = 1800;
	daily.last_s = at(2026, 5, 4, 0, 20);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 12, 0)), at(2026, 5, 5, 0, 20));
}

static void a_run_that_takes_longer_than_a_day_is_not_made_up_for(void)
{
	struct schedule daily = schedule("UTC0", 180);

	daily.last_s = at(2026, 5, 6, 4, 0); /* its end */
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 6, 4, 0)), at(2026, 5, 7, 3, 0));
}

static void a_missed_one_is_caught_up_once_and_soon_after_the_start(void)
{
	struct schedule daily = schedule("UTC0", 180);

	daily.last_s = at(2026, 5, 1, 3, 0);
	daily.start_s = at(2026, 5, 4, 9, 0);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 9, 0)), at(2026, 5, 4, 9, 1));
	daily.last_s = at(2026, 5, 4, 9, 1);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 9, 1)), at(2026, 5, 5, 3, 0));
}

static void one_that_is_a_little_late_is_due_at_once(void)
{
	struct schedule daily = schedule("UTC0", 180);

	daily.last_s = at(2026, 5, 3, 3, 0);
	daily.start_s = at(2026, 5, 4, 3, 20);
	CU_ASSERT(schedule_next(&daily, at(2026, 5, 4, 3, 21)) <= at(2026, 5, 4, 3, 21));
}

static void a_clock_that_went_back_delays_it_by_a_day_at_most(void)
{
	struct schedule daily = schedule("UTC0", 180);

	daily.last_s = at(2030, 1, 1, 3, 0);
	daily.start_s = at(2026, 5, 4, 9, 0);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 9, 0)), at(2026, 5, 5, 3, 0));
}

/* In Berlin 02:30 of 29 March 2026 does not exist, and 02:30 of 25 October comes twice. */
static void summer_time_skips_no_day_and_doubles_none(void)
{
	struct schedule daily = schedule("CET-1CEST,M3.5.0,M10.5.0/3", 150);
	int64_t now = at(2026, 3, 20, 12, 0), end = at(2026, 11, 5, 12, 0);
	int runs = 0, days = 0;

	for (int64_t day = now; day < end; day += SCHEDULE_DAY)
		days++;
	daily.last_s = now;
	for (;;) {
		int64_t next = schedule_next(&daily, now);
		if (next > end)
			break;
		CU_ASSERT(next - daily.last_s <= 26 * 3600);
		CU_ASSERT(runs == 0 || next - daily.last_s >= 22 * 3600);
		now = daily.last_s = next;
		runs++;
	}
	CU_ASSERT_EQUAL(runs, days);
}

static void a_zone_far_from_greenwich_works(void)
{
	struct schedule daily = schedule("XXX-14", 180);

	daily.last_s = at(2026, 5, 4, 3, 0);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 3, 1)), at(2026, 5, 5, 3, 0));
	daily = schedule("YYY12", 180);
	daily.last_s = at(2026, 5, 4, 3, 0);
	CU_ASSERT_EQUAL(schedule_next(&daily, at(2026, 5, 4, 3, 1)), at(2026, 5, 5, 3, 0));
}

static void what_is_done_is_said_in_thousandths(void)
{
	struct sweep_pace pace = {.files = 50, .files_all = 100, .bytes = 0, .bytes_all = 1000};

	CU_ASSERT_EQUAL(sweep_done(&pace), 250);
	pace.bytes = 5000; /* they grew */
	CU_ASSERT_EQUAL(sweep_done(&pace), 750);
	pace.files = 99999;
	CU_ASSERT_EQUAL(sweep_done(&pace), 1000);
	pace = (struct sweep_pace){.files = 9999999, .files_all = 10000000, .bytes = 1, .bytes_all = 1};
	CU_ASSERT_EQUAL(sweep_done(&pace), 999);
}

static void nothing_to_do_is_done(void)
{
	struct sweep_pace pace = {0};

	CU_ASSERT_EQUAL(sweep_done(&pace), 1000);
	CU_ASSERT_EQUAL(sweep_left_s(&pace), 0);
}

static void the_time_left_follows_the_pace_of_this_run(void)
{
	struct sweep_pace pace = {
		.files = 50, .files_all = 100, .bytes = 500, .bytes_all = 1000, .elapsed_ns = 10000000000};

	CU_ASSERT_EQUAL(sweep_left_s(&pace), 11);
	pace.begun_files = 40; /* a resumed one: only ten were done in these ten seconds */
	pace.begun_bytes = 400;
	CU_ASSERT_EQUAL(sweep_left_s(&pace), 51);
}

static void it_cannot_be_told_at_the_beginning(void)
{
	struct sweep_pace pace = {.files = 1, .files_all = 100, .bytes = 1, .bytes_all = 100, .elapsed_ns = 999999999};

	CU_ASSERT_EQUAL(sweep_left_s(&pace), UINT64_MAX);
	pace.elapsed_ns = 2000000000;
	CU_ASSERT(sweep_left_s(&pace) < 300);
	pace.begun_files = pace.begun_bytes = 1;
	CU_ASSERT_EQUAL(sweep_left_s(&pace), UINT64_MAX);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"the next one is today or tomorrow", the_next_one_is_today_or_tomorrow},
		{"a new schedule has missed nothing", a_new_schedule_has_missed_nothing},
		{"the spread comes on top", the_spread_comes_on_top},
		{"a run that takes longer than a day is not made up for",
		 a_run_that_takes_longer_than_a_day_is_not_made_up_for},
		{"a missed one is caught up once and soon after the start",
		 a_missed_one_is_caught_up_once_and_soon_after_the_start},
		{"one that is a little late is due at once", one_that_is_a_little_late_is_due_at_once},
		{"a clock that went back delays it by a day at most",
		 a_clock_that_went_back_delays_it_by_a_day_at_most},
		{"summer time skips no day and doubles none", summer_time_skips_no_day_and_doubles_none},
		{"a zone far from greenwich works", a_zone_far_from_greenwich_works},
		{"what is done is said in thousandths", what_is_done_is_said_in_thousandths},
		{"nothing to do is done", nothing_to_do_is_done},
		{"the time left follows the pace of this run", the_time_left_follows_the_pace_of_this_run},
		{"it cannot be told at the beginning", it_cannot_be_told_at_the_beginning},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"schedule", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
