// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/trial.c daemon/scanner/judge.c
// libs: libcap-ng
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "trial.h"

static char base[64];
static int folder, inside, elsewhere;
static struct trial trial;

static void sleeps(void *owner, struct trial_page *page);
static void sleeps_deaf(void *owner, struct trial_page *page);

/* Until it has ended. The time of one that sleeps runs from when it does: a starved machine is not what is tried. */
static void try(void (*work)(void *owner, struct trial_page *page), uint64_t wall_ms, uint64_t memory, unsigned cpu_s)
{
	struct trial_limits limits = {
		.wall_ns = wall_ms * 1000000, .memory = memory, .cpu_s = cpu_s, .nice = 5, .keep = {folder, inside}};
	struct timespec moment = {.tv_nsec = 5000000};
	int status;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(trial_begin(&trial, &limits, folder, work, &limits), 0);
	pid = trial.pid;
	if (work == sleeps || work == sleeps_deaf) {
		while (!((volatile struct trial_page *)trial.page)->identity)
			nanosleep(&moment, NULL);
		trial.until_ns = now_ns() + limits.wall_ns;
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		trial_turn(&trial, now_ns());
		nanosleep(&moment, NULL);
	}
	CU_ASSERT_FALSE(trial_ended(&trial, pid + 1, status));
	CU_ASSERT_TRUE(trial_ended(&trial, pid, status));
	CU_ASSERT_EQUAL(trial.pid, 0);
}

static void ends_well(void *owner, struct trial_page *page)
{
	(void)owner;
	page->well = true;
	page->identity = 42;
	snprintf(page->text, sizeof(page->text), "nice %d, other %d, open %d", getpriority(PRIO_PROCESS, 0),
		 fcntl(elsewhere, F_GETFD), fcntl(folder, F_GETFD) >= 0 && fcntl(inside, F_GETFD) >= 0);
}

static void ends_ill(void *owner, struct trial_page *page)
{
	(void)owner;
	snprintf(page->text, sizeof(page->text), "malformed");
}

static void crashes(void *owner, struct trial_page *page)
{
	volatile char *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)owner;
	page->well = true; /* what it says before counts for nothing */
	*closed = 1;
}

__attribute__((noinline)) static int deeper(int depth)
{
	volatile char bytes[4096];

	bytes[depth & 4095] = 1;
	return depth < 0 ? 0 : deeper(depth + 1) + bytes[depth & 4095];
}

static void uses_up_its_stack(void *owner, struct trial_page *page)
{
	(void)owner;
	page->identity = (uint64_t)deeper(0);
}

static void never_ends(void *owner, struct trial_page *page)
{
	(void)owner, (void)page;
	for (volatile unsigned i = 0;; i = i + 1) /* an int ends: UBSan */
		;
}

static void sleeps(void *owner, struct trial_page *page)
{
	(void)owner;
	page->identity = 1;
	for (;;)
		pause();
}

static void sleeps_deaf(void *owner, struct trial_page *page)
{
	signal(SIGTERM, SIG_IGN);
	sleeps(owner, page);
}

static void takes_memory(void *owner, struct trial_page *page)
{
	(void)owner;
	for (int i = 0; i < 64; i++) {
		char *bytes = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (bytes == MAP_FAILED)
			return;
		page->identity = (uint64_t)i + 1;
	}
	page->well = true;
}

static void what_ends_well_says_so_and_keeps_its_two_descriptors_alone(void)
{
	char expected[64];
	int nice = getpriority(PRIO_PROCESS, 0);

	snprintf(expected, sizeof(expected), "nice %d, other -1, open 1", nice > 5 ? nice : 5);
	try(ends_well, 60000, UINT64_MAX, 10);
	CU_ASSERT_TRUE(trial.page->well);
	CU_ASSERT_EQUAL(trial.page->identity, 42);
	CU_ASSERT_STRING_EQUAL(trial.page->text, expected);
	CU_ASSERT_STRING_EQUAL(trial.why, "");
	CU_ASSERT_TRUE(fcntl(elsewhere, F_GETFD) >= 0);
}

static void what_is_refused_is_no_crash(void)
{
	try(ends_ill, 60000, UINT64_MAX, 10);
	CU_ASSERT_FALSE(trial.page->well);
	CU_ASSERT_STRING_EQUAL(trial.page->text, "malformed");
	CU_ASSERT_STRING_EQUAL(trial.why, "");
}

static void a_crash_names_signal_and_file(void)
{
	try(crashes, 60000, UINT64_MAX, 10);
	CU_ASSERT_FALSE(trial.page->well);
	CU_ASSERT_STRING_EQUAL(trial.why, "libclamav crashes (signal 11) while it loads a b.ndb");
}

static void so_does_one_for_want_of_stack(void)
{
	try(uses_up_its_stack, 60000, UINT64_MAX, 10);
	CU_ASSERT_STRING_EQUAL(trial.why, "libclamav crashes (signal 11) while it loads a b.ndb");
}

static void what_never_ends_is_ended(void)
{
	uint64_t begun;

	try(never_ends, 60000, UINT64_MAX, 1);
	CU_ASSERT_STRING_EQUAL(trial.why, "libclamav takes too long while it loads a b.ndb");
	begun = now_ns();
	try(sleeps, 200, UINT64_MAX, 10);
	CU_ASSERT_STRING_EQUAL(trial.why, "libclamav takes too long while it loads a b.ndb");
	try(sleeps_deaf, 100, UINT64_MAX, 10);
	CU_ASSERT_STRING_EQUAL(trial.why, "libclamav takes too long with these definitions");
	CU_ASSERT_TRUE(now_ns() - begun < 12000000000u); /* its 2 s of grace; two forks and 5 s of slack each */
}

static void its_memory_has_a_limit(void)
{
	try(takes_memory, 60000, 16 << 20, 10);
	CU_ASSERT_FALSE(trial.page->well);
	CU_ASSERT_TRUE(trial.page->identity >= 8 && trial.page->identity <= 16);
	try(takes_memory, 60000, UINT64_MAX, 10);
	CU_ASSERT_TRUE(trial.page->well);
}

static void one_at_a_time_and_one_that_is_dropped_ends(void)
{
	struct trial_limits limits = {
		.wall_ns = 60000000000u, .memory = UINT64_MAX, .cpu_s = 10, .keep = {folder, inside}};
	int status;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(trial_begin(&trial, &limits, folder, sleeps, NULL), 0);
	CU_ASSERT_TRUE(trial_begin(&trial, &limits, folder, sleeps, NULL) < 0);
	trial_drop(&trial);
	pid = waitpid(trial.pid, &status, 0);
	CU_ASSERT_TRUE(trial_ended(&trial, pid, status));
	CU_ASSERT_FALSE(trial.page->well);
}

int main(void)
{
	char path[128];

	snprintf(base, sizeof(base), "/tmp/mailward-trial-XXXXXX");
	if (!mkdtemp(base))
		return 1;
	snprintf(path, sizeof(path), "%s/a b.ndb", base);
	elsewhere = open("/dev/null", O_RDONLY | O_CLOEXEC);
	folder = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	inside = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("trial", NULL, NULL);
	CU_ADD_TEST(suite, what_ends_well_says_so_and_keeps_its_two_descriptors_alone);
	CU_ADD_TEST(suite, what_is_refused_is_no_crash);
	CU_ADD_TEST(suite, a_crash_names_signal_and_file);
	CU_ADD_TEST(suite, so_does_one_for_want_of_stack);
	CU_ADD_TEST(suite, what_never_ends_is_ended);
	CU_ADD_TEST(suite, its_memory_has_a_limit);
	CU_ADD_TEST(suite, one_at_a_time_and_one_that_is_dropped_ends);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	unlink(path);
	rmdir(base);
	return failed != 0;
}
