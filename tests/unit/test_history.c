// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/history.c daemon/think/denials.c
// libs: sqlite3
#include <CUnit/Basic.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "history.h"

#define SECOND 1000000000LL
#define DAY (86400 * SECOND)
#define NOW (1790000000LL * SECOND)

static struct denials denials;
static unsigned lines_said;
static char last_line[512], folder[64];

static void say(void *owner, const char *line)
{
	(void)owner;
	lines_said++;
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static void add(int64_t time_ns, uint64_t ino, bool would)
{
	struct {
		struct record record;
		char path[6];
	} made = {.record = {.time_ns = time_ns,
			     .wait_ns = 12345,
			     .dev = 1,
			     .ino = ino,
			     .pid = 7,
			     .uid = UINT32_MAX,
			     .answer = ANSWER_DENY,
			     .would = would,
			     .verdict = VERDICT_UNSCANNED,
			     .reason = REASON_TIMEOUT,
			     .phase = PHASE_DEADLINE},
		  .path = "/a\n\xff/b"};

	made.record.sizes[TEXT_PATH] = sizeof(made.path);
	denials_add(&denials, &made.record, sizeof(made.record) + sizeof(made.path), 1);
}

static void enter_folder(void)
{
	strcpy(folder, "/tmp/test_history.XXXXXX");
	if (!mkdtemp(folder) || chdir(folder) < 0)
		abort();
	lines_said = 0;
	denials_start(&denials, 1);
}

static void leave_folder(void)
{
	DIR *list = opendir(".");

	for (struct dirent *entry; (entry = readdir(list)) != NULL;)
		unlink(entry->d_name);
	closedir(list);
	if (chdir("/") < 0 || rmdir(folder) < 0)
		abort();
	denials_end(&denials);
}

static unsigned rows_on_disk(struct history *history)
{
	static struct denial_row row;
	unsigned count = 0;

	for (uint64_t at = 0; history_next(history, at, INT64_MAX, &row); at = row.id)
		count++;
	return count;
}

static void a_row_comes_back_as_it_was_after_a_restart(void)
{
	static struct denial_row row;
	struct history *history;

	enter_folder();
	history = history_open(say, NULL, 1);
	CU_ASSERT_EQUAL(history_last_id(history), 0);
	add(NOW, 5, false);
	add(NOW + 1, 5, false);
	CU_ASSERT_TRUE(history_save(history, &denials, 1, NOW));
	history_close(history);

	history = history_open(say, NULL, 1);
	CU_ASSERT_EQUAL(history_last_id(history), 1);
	CU_ASSERT_TRUE(history_next(history, 0, 100, &row));
	CU_ASSERT_EQUAL(row.frame.count, 2);
	CU_ASSERT_EQUAL(row.frame.time_ns, NOW);
	CU_ASSERT_EQUAL(row.last_ns, NOW + 1);
	CU_ASSERT_EQUAL(row.frame.wait_ns, 12345);
	CU_ASSERT_EQUAL(row.frame.pid, 7);
	CU_ASSERT_EQUAL(row.frame.uid, UINT32_MAX);
	CU_ASSERT_EQUAL(row.frame.kind, ROW_RECORD);
	CU_ASSERT_EQUAL(row.frame.answer, ANSWER_DENY);
	CU_ASSERT_EQUAL(row.frame.phase, PHASE_DEADLINE);
	CU_ASSERT_EQUAL(row.frame.verdict.kind, VERDICT_UNSCANNED);
	CU_ASSERT_EQUAL(row.frame.verdict.reason, REASON_TIMEOUT);
	CU_ASSERT_EQUAL(row.frame.path_size, 6);
	CU_ASSERT_EQUAL(memcmp(row.frame.path, "/a\n\xff/b", 6), 0);
	CU_ASSERT_FALSE(history_next(history, 1, 100, &row));
	CU_ASSERT_EQUAL(lines_said, 0);
	history_close(history);
	leave_folder();
}

static void a_row_whose_count_grows_is_written_again_not_twice(void)
{
	struct history *history;

	enter_folder();
	history = history_open(say, NULL, 1);
	for (int i = 0; i < 5; i++) {
		add(NOW + i, 5, false);
		CU_ASSERT_TRUE(history_save(history, &denials, 1, NOW));
	}
	CU_ASSERT_EQUAL(rows_on_disk(history), 1);
	history_close(history);
	leave_folder();
}

static void a_damaged_database_is_put_aside_and_the_rows_in_memory_are_saved_again(void)
{
	struct history *history;
	int fd;

	enter_folder();
	fd = open(HISTORY_FILE, O_CREAT | O_WRONLY, 0600);
	for (int i = 0; i < 4096; i++)
		CU_ASSERT_EQUAL(write(fd, "garbage ", 8), 8);
	close(fd);
	history = history_open(say, NULL, 1);
	CU_ASSERT_EQUAL(lines_said, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(last_line, HISTORY_DAMAGED));
	CU_ASSERT_EQUAL(access(HISTORY_DAMAGED, F_OK), 0);
	add(NOW, 5, false);
	CU_ASSERT_TRUE(history_save(history, &denials, 1, NOW));
	CU_ASSERT_EQUAL(rows_on_disk(history), 1);
	history_close(history);
	leave_folder();
}

static void damage_that_comes_while_it_runs_loses_no_row_of_memory(void)
{
	struct history *history;
	char garbage[512];
	int fd;

	enter_folder();
	history = history_open(say, NULL, 1);
	for (uint64_t i = 1; i <= 300; i++)
		add(NOW, i, false);
	CU_ASSERT_TRUE(history_save(history, &denials, 1, NOW));
	history_close(history); /* moves everything into the main file */
	memset(garbage, 0x5a, sizeof(garbage));
	fd = open(HISTORY_FILE, O_WRONLY);
	for (off_t at = 4096; at < 200000; at += 512)
		if (pwrite(fd, garbage, sizeof(garbage), at) < 0)
			break;
	close(fd);
	history = history_open(say, NULL, 1);
	add(NOW, 301, false);
	for (int i = 0; i < 3; i++)
		history_save(history, &denials, 1 + i * (HISTORY_RETRY_NS + 1), NOW);
	CU_ASSERT_EQUAL(access(HISTORY_DAMAGED, F_OK), 0);
	CU_ASSERT_TRUE(history_works(history));
	CU_ASSERT_EQUAL(rows_on_disk(history), 301);
	history_close(history);
	leave_folder();
}

/* In a child that is not root, for root may write everywhere. */
static int as_nobody(int (*what)(void))
{
	int status;
	pid_t child;

	if (geteuid() == 0 && chmod(".", 0777) < 0)
		abort();
	child = fork();
	if (child == 0) {
		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(99);
		_exit(what());
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int work_in_a_read_only_folder(void)
{
	struct history *history;
	unsigned first;

	if (mkdir("closed", 0700) < 0 || chdir("closed") < 0 || chmod(".", 0500) < 0)
		return 1;
	history = history_open(say, NULL, 1);
	add(NOW, 5, false);
	for (uint64_t i = 0; i < 100; i++)
		if (history_save(history, &denials, 1 + i, NOW))
			return 2;
	first = lines_said;
	if (first != 1 || !denials_get(&denials, 1)->unsaved || history_works(history))
		return 3;
	if (chmod(".", 0700) < 0)
		return 4;
	if (history_save(history, &denials, 100, NOW)) /* too early for another try */
		return 5;
	if (!history_save(history, &denials, HISTORY_RETRY_NS + 200, NOW) || rows_on_disk(history) != 1)
		return 6;
	if (lines_said != 2 || denials_get(&denials, 1)->unsaved)
		return 7;
	history_close(history);
	unlink(HISTORY_FILE);
	return chdir("..") < 0 || rmdir("closed") < 0 ? 8 : 0;
}

static void a_read_only_folder_is_said_once_and_rows_are_saved_when_it_can_be_written(void)
{
	enter_folder();
	CU_ASSERT_EQUAL(as_nobody(work_in_a_read_only_folder), 0);
	leave_folder();
}

static void rows_older_than_the_bound_are_taken_away(void)
{
	struct history *history;

	enter_folder();
	history = history_open(say, NULL, 1);
	add(NOW - (HISTORY_DAYS + 1) * DAY, 1, false);
	add(NOW - (HISTORY_DAYS - 1) * DAY, 2, false);
	CU_ASSERT_TRUE(history_save(history, &denials, 1, NOW - (HISTORY_DAYS + 1) * DAY));
	CU_ASSERT_EQUAL(rows_on_disk(history), 2);
	add(NOW, 3, false);
	CU_ASSERT_TRUE(history_save(history, &denials, 70 * (uint64_t)SECOND, NOW));
	CU_ASSERT_EQUAL(rows_on_disk(history), 2);
	history_close(history);
	leave_folder();
}

static void more_rows_than_the_bound_push_the_oldest_out(void)
{
	static struct denial_row row;
	struct history *history;
	uint64_t count;

	enter_folder();
	history = history_open(say, NULL, 1);
	for (count = 1; count <= HISTORY_ROWS + 2000; count++) {
		add(NOW, count, false);
		if (count % 500 == 0 && !history_save(history, &denials, 1, NOW))
			break;
	}
	CU_ASSERT_EQUAL(count, HISTORY_ROWS + 2001);
	CU_ASSERT_EQUAL(denials.forgotten, 0);
	CU_ASSERT_TRUE(history_next(history, 0, INT64_MAX, &row));
	CU_ASSERT_TRUE(row.id > 1000 && row.id <= 2001); /* old rows go a thousand at a time */
	CU_ASSERT_EQUAL(history_last_id(history), HISTORY_ROWS + 2000);
	history_close(history);
	leave_folder();
}

static void hours_count_denials_and_not_would_be_ones(void)
{
	struct history *history;
	uint32_t counts[24];

	enter_folder();
	history = history_open(say, NULL, 1);
	add(NOW - 10 * SECOND, 1, false);
	add(NOW - 9 * SECOND, 1, false);
	add(NOW - 3601 * SECOND, 2, false);
	add(NOW - 5 * SECOND, 3, true);
	add(NOW - 25 * 3600 * SECOND, 4, false);
	add(NOW + 5 * SECOND, 5, false);
	CU_ASSERT_TRUE(history_save(history, &denials, 1, NOW));
	history_hours(history, NOW, counts);
	CU_ASSERT_EQUAL(counts[0], 2);
	CU_ASSERT_EQUAL(counts[1], 1);
	for (int i = 2; i < 24; i++)
		CU_ASSERT_EQUAL(counts[i], 0);
	history_close(history);
	leave_folder();
}

static void released_accesses_are_summed_over_restarts(void)
{
	struct history *history;

	enter_folder();
	history = history_open(say, NULL, 1);
	CU_ASSERT_TRUE(history_add_released(history, NOW - 2 * DAY, 50));
	CU_ASSERT_TRUE(history_add_released(history, NOW, 7));
	history_close(history);
	history = history_open(say, NULL, 1);
	CU_ASSERT_EQUAL(history_released(history, 0), 57);
	CU_ASSERT_EQUAL(history_released(history, NOW - DAY), 7);
	history_close(history);
	leave_folder();
}

/* The folder is entered by descriptor; nobody can walk to it. */
static int work_below_a_closed_folder(void)
{
	struct history *history;
	bool saved;

	if (mkdir("above", 0700) < 0 || mkdir("above/inner", 0777) < 0 || chdir("above/inner") < 0 ||
	    chmod("..", 0000) < 0)
		return 1;
	history = history_open(say, NULL, 1);
	add(NOW, 1, false);
	saved = history_save(history, &denials, 1, NOW) && access(HISTORY_FILE, F_OK) == 0;
	history_close(history);
	unlink(HISTORY_FILE);
	if (chdir(folder) < 0 || chmod("above", 0700) < 0 || rmdir("above/inner") < 0 || rmdir("above") < 0)
		return 2;
	return saved ? 0 : 3;
}

static void folders_above_it_may_be_closed(void)
{
	enter_folder();
	CU_ASSERT_EQUAL(as_nobody(work_below_a_closed_folder), 0);
	leave_folder();
}

#define TEST(name) CU_add_test(suite, #name, name)
int main(void)
{
	CU_pSuite suite;
	unsigned failed;

	CU_initialize_registry();
	suite = CU_add_suite("history", NULL, NULL);
	TEST(a_row_comes_back_as_it_was_after_a_restart);
	TEST(a_row_whose_count_grows_is_written_again_not_twice);
	TEST(a_damaged_database_is_put_aside_and_the_rows_in_memory_are_saved_again);
	TEST(damage_that_comes_while_it_runs_loses_no_row_of_memory);
	TEST(a_read_only_folder_is_said_once_and_rows_are_saved_when_it_can_be_written);
	TEST(rows_older_than_the_bound_are_taken_away);
	TEST(more_rows_than_the_bound_push_the_oldest_out);
	TEST(hours_count_denials_and_not_would_be_ones);
	TEST(released_accesses_are_summed_over_restarts);
	TEST(folders_above_it_may_be_closed);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
