// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/memory.c daemon/think/cases.c daemon/think/queue.c
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "memory.h"

static struct memory *memory;
static char name[] = "/tmp/mailward-memory-XXXXXX";
static int fd;

static int setup(void)
{
	fd = mkstemp(name);
	return fd < 0 || write(fd, "hello", 5) != 5 || memory_open(&memory, -1) < 0;
}

static int teardown(void)
{
	close(fd);
	unlink(name);
	memory_close(&memory);
	return 0;
}

static struct generation look(void)
{
	struct sight sight;

	CU_ASSERT_EQUAL_FATAL(memory_look(fd, &sight), 0);
	return sight.generation;
}

static const struct finding clean = {.verdict.kind = VERDICT_CLEAN, .definitions = 9, .worker = 4};
static const struct finding infected = {
	.verdict = {.kind = VERDICT_INFECTED, .signature = "X"}, .definitions = 9, .worker = 4, .detail = "d"};

static void tick(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void a_verdict_is_known_until_the_content_changes(void)
{
	struct generation before = look(), after;

	CU_ASSERT_PTR_NULL(memory_known(memory, &before, 9, 0));
	memory_keep(memory, &before, &clean, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(memory_known(memory, &before, 9, 0));
	CU_ASSERT_EQUAL(memory_known(memory, &before, 9, 0)->verdict.kind, VERDICT_CLEAN);
	tick();
	CU_ASSERT_EQUAL(pwrite(fd, "J", 1, 0), 1);
	after = look();
	CU_ASSERT_EQUAL(after.size, before.size);
	CU_ASSERT_PTR_NULL(memory_known(memory, &after, 9, 0));
}

static void setting_the_times_back_does_not_bring_it_back(void)
{
	struct generation before = look(), after;
	struct stat times;

	memory_keep(memory, &before, &clean, NULL, 0);
	fstat(fd, &times);
	tick();
	CU_ASSERT_EQUAL(pwrite(fd, "K", 1, 0), 1);
	futimens(fd, (struct timespec[]){times.st_atim, times.st_mtim});
	after = look();
	CU_ASSERT_PTR_NULL(memory_known(memory, &after, 9, 0));
}

static void other_definitions_know_nothing(void)
{
	struct generation now = look();

	memory_keep(memory, &now, &clean, NULL, 0);
	CU_ASSERT_PTR_NULL(memory_known(memory, &now, 10, 0));
	CU_ASSERT_PTR_NULL(memory_known(memory, &now, 0, 0));
}

static void a_finding_is_kept_whole(void)
{
	struct generation now = look();
	const struct finding *known;

	memory_keep(memory, &now, &infected, NULL, 0);
	known = memory_known(memory, &now, 9, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(known);
	CU_ASSERT_STRING_EQUAL(known->verdict.signature, "X");
	CU_ASSERT_STRING_EQUAL(known->detail, "d");
}

static void a_passing_reason_is_tried_again_later(void)
{
	struct generation now = look();
	struct finding crashed = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = REASON_CRASHED}, .definitions = 9};
	struct finding deep = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = REASON_TOO_DEEP}, .definitions = 9};
	struct finding busy = {.verdict = {.kind = VERDICT_UNSCANNED, .reason = REASON_BUSY}, .definitions = 9};

	memory_keep(memory, &now, &crashed, NULL, 1000);
	CU_ASSERT_PTR_NOT_NULL(memory_known(memory, &now, 9, 1000 + 9999999999));
	CU_ASSERT_PTR_NULL(memory_known(memory, &now, 9, 1000 + 10000000000));
	memory_keep(memory, &now, &deep, NULL, 1000);
	CU_ASSERT_PTR_NOT_NULL(memory_known(memory, &now, 9, UINT64_MAX));
	memory_changed(memory, &now);
	memory_keep(memory, &now, &busy, NULL, 1000);
	CU_ASSERT_PTR_NULL(memory_known(memory, &now, 9, 1000));
}

static void a_writer_that_closed_makes_it_unknown_but_the_digest_tells(void)
{
	struct generation now = look(), by_handle = now;
	uint8_t digest[32] = {1}, other[32] = {2};

	by_handle.dev = by_handle.ino = by_handle.size = 0;
	by_handle.ctime_ns = 0;
	memory_keep(memory, &now, &clean, digest, 0);
	memory_changed(memory, &by_handle);
	CU_ASSERT_PTR_NULL(memory_known(memory, &now, 9, 0));
	CU_ASSERT_PTR_NOT_NULL(memory_same_content(memory, &now, digest, 9, 0));
	CU_ASSERT_PTR_NULL(memory_same_content(memory, &now, other, 9, 0));
}

static unsigned withdrawn;

static void count_withdrawn(void *owner, const struct generation *file)
{
	withdrawn += owner == NULL && file->handle_size > 0;
}

static void a_withdrawn_worker_leaves_nothing_known(void)
{
	struct generation now = look();
	uint8_t digest[32] = {1};

	memory_keep(memory, &now, &clean, digest, 0);
	memory_withdraw(memory, 5, count_withdrawn, NULL);
	CU_ASSERT_PTR_NOT_NULL(memory_known(memory, &now, 9, 0));
	CU_ASSERT_EQUAL(withdrawn, 0);
	memory_withdraw(memory, 4, count_withdrawn, NULL);
	CU_ASSERT_EQUAL(withdrawn, 1);
	CU_ASSERT_PTR_NULL(memory_known(memory, &now, 9, 0));
	CU_ASSERT_PTR_NULL(memory_same_content(memory, &now, digest, 9, 0));
}

static void a_place_holds_for_its_epoch_and_until_a_move(void)
{
	struct place kept = {.watch = 3, .unheld = true}, found;
	struct sight now;

	CU_ASSERT_EQUAL_FATAL(memory_look(fd, &now), 0);
	memory_keep_place(memory, &now, 7, &kept);
	CU_ASSERT_TRUE(memory_place(memory, &now, 7, &found));
	CU_ASSERT_EQUAL(found.watch, 3);
	CU_ASSERT_TRUE(found.unheld);
	CU_ASSERT_FALSE(memory_place(memory, &now, 8, &found));
	memory_moved(memory, &now.generation);
	CU_ASSERT_FALSE(memory_place(memory, &now, 7, &found));
}

static void a_counted_generation_has_another_place_once_its_name_may_have_changed(void)
{
	struct place kept = {.watch = 3}, found;
	struct sight now;

	CU_ASSERT_EQUAL_FATAL(memory_look(fd, &now), 0);
	now.generation.counted = 1;
	now.generation.ctime_ns = 12;
	memory_keep_place(memory, &now, 7, &kept);
	CU_ASSERT_TRUE(memory_place(memory, &now, 7, &found));
	now.changed_ns++;
	CU_ASSERT_FALSE(memory_place(memory, &now, 7, &found));
}

static void a_counted_generation_is_never_that_of_a_time(void)
{
	struct generation by_time = look(), counted = by_time;

	counted.counted = 1;
	memory_keep(memory, &counted, &clean, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL(memory_known(memory, &counted, 9, 0));
	CU_ASSERT_PTR_NULL(memory_known(memory, &by_time, 9, 0));
}

static void what_lies_in_the_content_lasts_and_what_lay_in_the_moment_does_not(void)
{
	struct verdict verdict = {.kind = VERDICT_CLEAN};

	CU_ASSERT_TRUE(memory_lasts(&verdict));
	verdict = (struct verdict){.kind = VERDICT_UNSCANNED, .reason = REASON_TOO_LARGE};
	CU_ASSERT_TRUE(memory_lasts(&verdict));
	verdict.reason = REASON_TIMEOUT;
	CU_ASSERT_FALSE(memory_lasts(&verdict));
	verdict.reason = REASON_BUSY;
	CU_ASSERT_FALSE(memory_lasts(&verdict));
	verdict = (struct verdict){.reason = REASON_EXEC_NEVER};
	CU_ASSERT_FALSE(memory_lasts(&verdict));
}

static void a_file_just_written_is_not_settled_and_then_is(void)
{
	struct sight sight = {.settled = true};

	for (int i = 0; i < 100 && sight.settled; i++) { /* a tick may pass in between */
		CU_ASSERT_EQUAL(pwrite(fd, "L", 1, 0), 1);
		CU_ASSERT_EQUAL(memory_look(fd, &sight), 0);
	}
	CU_ASSERT_FALSE(sight.settled);
	CU_ASSERT_TRUE(memory_unsettled_ns(&sight) > 0);
	tick();
	CU_ASSERT_EQUAL(memory_look(fd, &sight), 0);
	CU_ASSERT_TRUE(sight.settled);
	CU_ASSERT_EQUAL(memory_unsettled_ns(&sight), 0);
	sight.settled = false;
	sight.generation.ctime_ns = (int64_t)wall_ns() + 3600000000000ll;
	CU_ASSERT_EQUAL(memory_unsettled_ns(&sight), 0);
}

static void a_writer_is_noticed(void)
{
	int reader = open(name, O_RDONLY);

	CU_ASSERT_FALSE(memory_no_writer(reader)); /* fd is open for writing */
	close(fd);
	CU_ASSERT_TRUE(memory_no_writer(reader));
	fd = open(name, O_RDWR);
	close(reader);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("memory", setup, teardown);
	CU_ADD_TEST(suite, a_verdict_is_known_until_the_content_changes);
	CU_ADD_TEST(suite, setting_the_times_back_does_not_bring_it_back);
	CU_ADD_TEST(suite, other_definitions_know_nothing);
	CU_ADD_TEST(suite, a_finding_is_kept_whole);
	CU_ADD_TEST(suite, a_passing_reason_is_tried_again_later);
	CU_ADD_TEST(suite, a_writer_that_closed_makes_it_unknown_but_the_digest_tells);
	CU_ADD_TEST(suite, a_withdrawn_worker_leaves_nothing_known);
	CU_ADD_TEST(suite, a_place_holds_for_its_epoch_and_until_a_move);
	CU_ADD_TEST(suite, a_counted_generation_has_another_place_once_its_name_may_have_changed);
	CU_ADD_TEST(suite, a_counted_generation_is_never_that_of_a_time);
	CU_ADD_TEST(suite, what_lies_in_the_content_lasts_and_what_lay_in_the_moment_does_not);
	CU_ADD_TEST(suite, a_file_just_written_is_not_settled_and_then_is);
	CU_ADD_TEST(suite, a_writer_is_noticed);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
