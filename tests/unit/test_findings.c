// SPDX-License-Identifier: GPL-2.0-only
// objects: tools/findings.c tools/mail_limits.c tools/command.c daemon/think/store.c
#include <CUnit/Basic.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "findings.h"
#include "policy.h"

#define SECOND 1000000000ull
#define HOUR (3600 * SECOND)
#define NOW (500000 * HOUR + 1800 * SECOND)

static struct status_page page;
static struct findings findings;

/* A daemon in good order, up for two hours, its gate's latest turn ten milliseconds ago. */
static void healthy(void)
{
	memset(&page, 0, sizeof(page));
	memset(&findings, 0, sizeof(findings));
	page.keeper.started_ns = NOW - 2 * HOUR;
	page.keeper.definitions_known = 1;
	page.keeper.definitions_signatures = 100;
	page.keeper.definitions_time_ns = NOW - 24 * HOUR;
	page.keeper.workers_serving = 4;
	page.gate.marks_stand = 1;
	page.gate.loop_ns = HOUR - SECOND / 100;
	page.gate.watch_count = 1;
	page.gate.watches[0].covered = 1;
	page.gate.watches[0].mode = MODE_ENFORCE;
	page.keeper.policy_number = page.keeper.canary_policy = 3;
	page.keeper.canary[0] = CANARY_BLOCKED;
}

static const char *first_issue(void)
{
	findings_make(&page, (struct clocks){.wall_ns = NOW, .monotonic_ns = HOUR}, &findings);
	return findings.issue_count ? findings.issues[0].id : "";
}

static void a_daemon_in_good_order_is_ready_and_has_no_issue(void)
{
	healthy();
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	CU_ASSERT_TRUE(findings.ready);
	CU_ASSERT_EQUAL(findings.uptime_s, 7200);
	CU_ASSERT_EQUAL(findings.definitions_age_s, 86400);
	CU_ASSERT_PTR_NULL(findings.note);
}

static void it_is_not_ready_without_marks_or_while_no_worker_has_passed_its_canary(void)
{
	healthy();
	page.gate.marks_stand = 0;
	first_issue();
	CU_ASSERT_FALSE(findings.ready);
	healthy();
	page.keeper.workers_serving = 0;
	first_issue();
	CU_ASSERT_FALSE(findings.ready);
	page.keeper.definitions_known = 0;
	page.keeper.definitions_signatures = 0;
	first_issue();
	CU_ASSERT_FALSE(findings.ready);
	page.keeper.definitions_known = 1;
	CU_ASSERT_STRING_EQUAL(first_issue(), "no-definitions");
	CU_ASSERT_TRUE(findings.ready);
}

static void definitions_older_than_the_policy_allows_are_an_issue(void)
{
	healthy();
	page.keeper.definitions_max_age_s = 23ull * 3600;
	CU_ASSERT_STRING_EQUAL(first_issue(), "definitions-old");
	page.keeper.definitions_max_age_s = 25ull * 3600;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.keeper.definitions_built_ns = NOW - 26 * HOUR; /* copied later than they were made */
	CU_ASSERT_STRING_EQUAL(first_issue(), "definitions-old");
	CU_ASSERT_EQUAL(findings.definitions_age_s, 26 * 3600);
}

static void definitions_that_are_not_in_use_are_an_issue_with_a_remedy(void)
{
	static const char *const ids[] = {"", "definitions-broken", "definitions-no-room", "definitions-gone", "clamd"};

	for (uint32_t i = 1; i < DEFINITIONS_REFUSALS; i++) {
		healthy();
		page.keeper.definitions_refused = i;
		strcpy(page.keeper.definitions_refused_why, "because");
		CU_ASSERT_STRING_EQUAL(first_issue(), ids[i]);
		CU_ASSERT_PTR_NOT_NULL(strstr(findings.issues[0].text, "because"));
		CU_ASSERT_TRUE(strlen(findings.issues[0].remedy) > 0);
	}
}

static void workers_that_are_replaced_are_an_issue_only_where_none_comes(void)
{
	healthy();
	page.keeper.workers_serving = 0;
	page.keeper.workers_gone_ns = HOUR - SECOND;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	CU_ASSERT_TRUE(findings.ready);
	page.keeper.workers_gone_ns = HOUR - 3 * SECOND;
	CU_ASSERT_STRING_EQUAL(first_issue(), "no-worker");
	CU_ASSERT_TRUE(findings.ready);
	CU_ASSERT_PTR_NOT_NULL(strstr(findings.issues[0].text, "for 3 s"));
	page.keeper.definitions_signatures = 0;
	CU_ASSERT_STRING_EQUAL(first_issue(), "no-definitions");
	CU_ASSERT_EQUAL(findings.issue_count, 1);
}

static void it_is_not_ready_before_the_first_selftest_is_over_or_overdue(void)
{
	healthy();
	page.keeper.canary_policy = 0;
	page.keeper.canary[0] = CANARY_NOT_YET;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	CU_ASSERT_FALSE(findings.ready);
	page.keeper.canary_due_ns = HOUR;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	CU_ASSERT_FALSE(findings.ready);
	page.keeper.canary_due_ns = HOUR - 1;
	CU_ASSERT_STRING_EQUAL(first_issue(), "canary-not-tried");
	CU_ASSERT_TRUE(findings.ready);
}

static void a_canary_that_was_not_blocked_is_an_issue_at_any_time(void)
{
	healthy();
	page.keeper.canary[0] = CANARY_NOT_BLOCKED;
	CU_ASSERT_STRING_EQUAL(first_issue(), "canary-not-blocked");
	page.keeper.canary_due_ns = HOUR + SECOND; /* the next one is under way */
	CU_ASSERT_STRING_EQUAL(first_issue(), "canary-not-blocked");
}

static void a_canary_that_could_not_be_tried_is_an_issue_once(void)
{
	healthy();
	page.keeper.canary[0] = CANARY_NOT_POSSIBLE;
	CU_ASSERT_STRING_EQUAL(first_issue(), "canary-not-possible");
	page.keeper.canary_due_ns = HOUR + SECOND;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.keeper.canary_due_ns = 0;
	page.gate.watches[0].covered = COVERED_NO;
	CU_ASSERT_STRING_EQUAL(first_issue(), "watch-not-covered");
	CU_ASSERT_EQUAL(findings.issue_count, 1);
	healthy();
	page.keeper.canary[0] = CANARY_NOT_POSSIBLE;
	page.keeper.definitions_signatures = 0;
	CU_ASSERT_STRING_EQUAL(first_issue(), "no-definitions");
	CU_ASSERT_EQUAL(findings.issue_count, 1);
}

static void what_an_older_policy_said_of_a_canary_counts_no_more(void)
{
	healthy();
	page.keeper.policy_number = 4;
	CU_ASSERT_EQUAL(finding_canary(&page, 0), CANARY_NOT_YET);
	CU_ASSERT_STRING_EQUAL(first_issue(), "canary-not-tried");
	page.keeper.canary_due_ns = HOUR + SECOND;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	CU_ASSERT_TRUE(findings.ready);
}

static void where_nothing_is_ever_refused_no_canary_is_missed(void)
{
	healthy();
	page.keeper.canary[0] = CANARY_NOT_APPLICABLE;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.keeper.canary[0] = CANARY_NOT_YET;
	page.gate.watches[0].mode = MODE_OBSERVE;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.gate.watches[0].mode = MODE_ENFORCE;
	page.gate.watches[0].store = STORE_MBOX;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.gate.watches[0].store = STORE_FILES;
	CU_ASSERT_STRING_EQUAL(first_issue(), "canary-not-tried");
}

static void a_watch_that_is_covered_in_part_is_an_issue(void)
{
	healthy();
	page.gate.watches[0].covered = COVERED_PARTLY;
	CU_ASSERT_STRING_EQUAL(first_issue(), "watch-partly-covered");
	page.gate.watches[0].mode = MODE_OFF;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
}

static void a_watch_that_is_off_is_no_issue_one_that_is_not_covered_is(void)
{
	healthy();
	page.gate.watches[0].covered = 0;
	CU_ASSERT_STRING_EQUAL(first_issue(), "watch-not-covered");
	page.gate.watches[0].mode = MODE_OFF;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
}

static void a_gate_that_has_not_moved_for_two_seconds_is_an_issue(void)
{
	healthy();
	page.gate.loop_ns = HOUR - 19 * SECOND / 10;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.gate.loop_ns = HOUR - 21 * SECOND / 10;
	CU_ASSERT_STRING_EQUAL(first_issue(), "gate-silent");
}

static void three_restarts_lately_are_an_issue_long_ago_they_are_none(void)
{
	healthy();
	page.keeper.process_count = 1;
	findings.states[0] = "running";
	page.keeper.processes[0].restarts = 2;
	page.keeper.processes[0].started_ns = NOW - SECOND;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	page.keeper.processes[0].restarts = 3;
	CU_ASSERT_STRING_EQUAL(first_issue(), "process-restarting");
	page.keeper.processes[0].started_ns = NOW - HOUR;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	findings.states[0] = "stopped";
	CU_ASSERT_STRING_EQUAL(first_issue(), "process-not-running");
}

static void fallback_uids_are_a_note_and_no_issue(void)
{
	healthy();
	page.keeper.uids_are_fallback = 1;
	CU_ASSERT_STRING_EQUAL(first_issue(), "");
	CU_ASSERT_PTR_NOT_NULL(findings.note);
}

static void blocked_in_a_day_adds_this_run_and_the_hours_before_it(void)
{
	uint64_t hour = NOW / HOUR;

	healthy(); /* up for two hours: the last two of the 24 before its start are too old */
	for (int i = 0; i < 24; i++)
		page.keeper.blocked_before[i] = 1;
	CU_ASSERT_EQUAL(blocked_in_a_day(&page, NOW), 22);
	page.gate.denied_hour[hour % 24] = 100;
	page.gate.denied_hour_is[hour % 24] = hour;
	page.gate.denied_hour[(hour - 23) % 24] = 1000;
	page.gate.denied_hour_is[(hour - 23) % 24] = hour - 23;
	CU_ASSERT_EQUAL(blocked_in_a_day(&page, NOW), 1122);
	page.gate.denied_hour_is[(hour - 23) % 24] = hour - 47; /* of the day before */
	CU_ASSERT_EQUAL(blocked_in_a_day(&page, NOW), 122);
	page.keeper.started_ns = NOW - 48 * HOUR;
	CU_ASSERT_EQUAL(blocked_in_a_day(&page, NOW), 100);
}

static void a_page_with_wild_numbers_is_copied_to_something_usable(void)
{
	static struct status_page copy;

	memset(&page, 0xff, sizeof(page));
	status_copy(&page, &copy);
	CU_ASSERT_TRUE(copy.gate.watch_count <= WATCHES_MAX);
	CU_ASSERT_TRUE(copy.keeper.process_count <= PROCESSES_MAX);
	CU_ASSERT_TRUE(copy.gate.watches[3].store < STORES);
	CU_ASSERT_TRUE(copy.gate.watches[3].mode < MODES);
	CU_ASSERT_TRUE(memchr(copy.gate.watches[3].path, 0, sizeof(copy.gate.watches[3].path)) != NULL);
	CU_ASSERT_TRUE(memchr(copy.keeper.definitions_version, 0, sizeof(copy.keeper.definitions_version)) != NULL);
	CU_ASSERT_TRUE(copy.gate.watches[3].covered < COVERAGES);
	CU_ASSERT_TRUE(copy.keeper.guard_mode < GUARD_MODES);
	CU_ASSERT_TRUE(copy.keeper.canary[3] < CANARIES && copy.keeper.canary_open[3] < CANARIES &&
		       copy.keeper.canary_exec[3] < CANARIES);
	CU_ASSERT_TRUE(memchr(copy.keeper.canary_text[63], 0, sizeof(copy.keeper.canary_text[63])) != NULL);
	CU_ASSERT_TRUE(memchr(copy.keeper.guard_why, 0, sizeof(copy.keeper.guard_why)) != NULL);
	CU_ASSERT_TRUE(memchr(copy.keeper.guard_remedy, 0, sizeof(copy.keeper.guard_remedy)) != NULL);
	findings_make(&copy, (struct clocks){.wall_ns = NOW, .monotonic_ns = HOUR}, &findings);
	CU_ASSERT_TRUE(findings.issue_count <= ISSUES_MAX);
}

static void the_state_of_a_process_comes_from_the_kernel(void)
{
	struct process_entry entry = {.pid = getpid(), .state = PROCESS_RUNNING};
	pid_t child = fork();

	if (child == 0)
		for (;;)
			pause();
	CU_ASSERT_STRING_EQUAL(process_state_word(&entry), "running");
	entry.state = PROCESS_LOADING;
	CU_ASSERT_STRING_EQUAL(process_state_word(&entry), "loading");
	entry.pid = child;
	kill(child, SIGSTOP);
	waitpid(child, NULL, WUNTRACED);
	CU_ASSERT_STRING_EQUAL(process_state_word(&entry), "stopped");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CU_ASSERT_STRING_EQUAL(process_state_word(&entry), "ended");
	entry.pid = 0;
	CU_ASSERT_STRING_EQUAL(process_state_word(&entry), "ended");
}

#define TEST(name) CU_add_test(suite, #name, name)
int main(void)
{
	CU_pSuite suite;
	unsigned failed;

	CU_initialize_registry();
	suite = CU_add_suite("findings", NULL, NULL);
	TEST(a_daemon_in_good_order_is_ready_and_has_no_issue);
	TEST(it_is_not_ready_without_marks_or_while_no_worker_has_passed_its_canary);
	TEST(definitions_older_than_the_policy_allows_are_an_issue);
	TEST(definitions_that_are_not_in_use_are_an_issue_with_a_remedy);
	TEST(workers_that_are_replaced_are_an_issue_only_where_none_comes);
	TEST(it_is_not_ready_before_the_first_selftest_is_over_or_overdue);
	TEST(a_canary_that_was_not_blocked_is_an_issue_at_any_time);
	TEST(a_canary_that_could_not_be_tried_is_an_issue_once);
	TEST(what_an_older_policy_said_of_a_canary_counts_no_more);
	TEST(where_nothing_is_ever_refused_no_canary_is_missed);
	TEST(a_watch_that_is_covered_in_part_is_an_issue);
	TEST(a_watch_that_is_off_is_no_issue_one_that_is_not_covered_is);
	TEST(a_gate_that_has_not_moved_for_two_seconds_is_an_issue);
	TEST(three_restarts_lately_are_an_issue_long_ago_they_are_none);
	TEST(fallback_uids_are_a_note_and_no_issue);
	TEST(blocked_in_a_day_adds_this_run_and_the_hours_before_it);
	TEST(a_page_with_wild_numbers_is_copied_to_something_usable);
	TEST(the_state_of_a_process_comes_from_the_kernel);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
