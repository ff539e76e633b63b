// SPDX-License-Identifier: GPL-2.0-only
// objects: tools/clean_mbox.c tools/clean_lock.c
/* Taking a message out of a plain mbox, ended at each system call of it. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clean.h"

#define STEPS_MOST 2000

static char folder[] = "/tmp/test-clean-mbox-XXXXXX", path[64];
static char *before, *after;
static size_t before_size, after_size, bad_at, bad_end;

/* ---- an mbox ---- */

static void message_add(size_t size, char letter)
{
	int length = sprintf(before + before_size, "From a@b Mon Jan  1 00:00:00 2024\nSubject: %c\n\n", letter);

	memset(before + before_size + length, letter, size);
	for (size_t i = 60; i < size; i += 61)
		before[before_size + (size_t)length + i] = '\n';
	before_size += (size_t)length + size;
	before_size += (size_t)sprintf(before + before_size, "\n\n");
}

/* What follows the message is longer than one piece of the copying, and than the message. */
static void mbox_make(void)
{
	before = malloc(1 << 20);
	after = malloc(1 << 20);
	message_add(5000, 'a');
	bad_at = before_size;
	message_add(70000, 'X');
	bad_end = before_size;
	message_add(90000, 'b');
	message_add(90000, 'c');
	memcpy(after, before, bad_at);
	memcpy(after + bad_at, before + bad_end, before_size - bad_end);
	after_size = before_size - (bad_end - bad_at);
}

static const char *name_of(const char *ending)
{
	static char name[128];

	snprintf(name, sizeof(name), "%s%s", path, ending);
	return name;
}

static void put(const char *ending, const char *bytes, size_t size)
{
	int fd = open(name_of(ending), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		abort();
	close(fd);
}

static bool holds(const char *ending, const char *bytes, size_t size)
{
	static char room[1 << 20];
	int fd = open(name_of(ending), O_RDONLY);
	ssize_t got = fd < 0 ? -1 : read(fd, room, sizeof(room));

	if (fd >= 0)
		close(fd);
	return got == (ssize_t)size && memcmp(room, bytes, size) == 0;
}

static bool is_there(const char *ending)
{
	return access(name_of(ending), F_OK) == 0;
}

static void tidy(void)
{
	static const char *const endings[] = {"", ".lock", ".mailward-before", ".mailward-copying"};

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		unlink(name_of(endings[i]));
}

static bool nothing_else_is_there(void)
{
	return !is_there(".lock") && !is_there(".mailward-before") && !is_there(".mailward-copying");
}

/* ---- a run ---- */

static struct removal removal;

/* What mailward clean --yes does with it. */
static int clean_it(void)
{
	static struct infected infected;
	int error = clean_mend_mbox(path, true, &removal);

	if (error < 0)
		return error;
	infected = (struct infected){.store = STORE_MBOX, .number = 2, .at = bad_at, .end = bad_end};
	snprintf(infected.path, sizeof(infected.path), "%s", path);
	infected.fd = open(path, O_RDONLY);
	error = infected.fd < 0 ? -errno : clean_find_mbox(&infected, &removal);
	if (!error)
		error = clean_by_rewrite(&infected, &removal);
	free(removal.content);
	if (infected.fd >= 0)
		close(infected.fd);
	return error;
}

/* In a child, which gets this signal as it enters its n-th system call. true: it came so far. */
static bool run_until(unsigned step, int number, int *status)
{
	pid_t child = fork();
	bool reached = true;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(clean_it() == 0 ? 0 : 1);
	}
	waitpid(child, status, 0);
	ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (unsigned i = 0; i < 2 * step && reached; i++) { /* in and out */
		ptrace(PTRACE_SYSCALL, child, NULL, NULL);
		waitpid(child, status, 0);
		reached = WIFSTOPPED(*status);
	}
	if (!reached)
		return false;
	kill(child, number);
	for (int passed = 0; !WIFEXITED(*status) && !WIFSIGNALED(*status); waitpid(child, status, 0)) {
		passed = WIFSTOPPED(*status) && WSTOPSIG(*status) == number ? number : 0;
		if (ptrace(PTRACE_CONT, child, NULL, (void *)(long)passed) < 0)
			break;
	}
	if (!WIFEXITED(*status) && !WIFSIGNALED(*status))
		waitpid(child, status, 0);
	return true;
}

/* ---- tests ---- */

static void one_message_goes_and_nothing_is_left_beside(void)
{
	put("", before, before_size);
	CU_ASSERT_EQUAL(clean_it(), 0);
	CU_ASSERT_TRUE(holds("", after, after_size));
	CU_ASSERT_TRUE(nothing_else_is_there());
	tidy();
}

static void killed_at_any_step_it_is_whole_or_its_copy_is_and_the_next_run_ends_it(void)
{
	unsigned step = 1, torn = 0, copies = 0, bad = 0, unmended = 0;
	int status;

	for (; step < STEPS_MOST; step++) {
		put("", before, before_size);
		if (!run_until(step, SIGKILL, &status))
			break;
		bool whole = holds("", before, before_size) || holds("", after, after_size);
		bool copied = holds(".mailward-before", before, before_size);
		torn += !whole;
		copies += copied;
		bad += (!whole && !copied) || (is_there(".mailward-before") && !copied);
		if (holds("", after, after_size) && !copied) {
			unmended += is_there(".mailward-copying");
		} else {
			unmended += clean_it() != 0 && !holds("", after, after_size);
			unmended += !holds("", after, after_size) || !nothing_else_is_there();
		}
		tidy();
	}
	CU_ASSERT_TRUE(step > 20 && step < STEPS_MOST); /* it went to its end in the last round */
	CU_ASSERT_TRUE(torn > 0);                       /* control: some kills hit it in the midst */
	CU_ASSERT_TRUE(copies > torn);
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(unmended, 0);
	tidy();
}

static void a_signal_that_asks_it_to_end_waits_until_the_file_is_whole(void)
{
	unsigned step = 1, bad = 0, ended = 0;
	int status;

	for (; step < STEPS_MOST; step++) {
		put("", before, before_size);
		if (!run_until(step, SIGTERM, &status))
			break;
		ended += WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
		bad += !holds("", before, before_size) && !holds("", after, after_size);
		bad += !nothing_else_is_there();
		tidy();
	}
	CU_ASSERT_TRUE(step > 20 && ended > 10);
	CU_ASSERT_EQUAL(bad, 0);
	tidy();
}

/* The next run, when it was cut off in the midst and somebody went on with the mailbox. */
static int mended_after(const char *content, size_t size)
{
	put(".mailward-before", before, before_size);
	put("", content, size);
	return clean_mend_mbox(path, true, &removal);
}

static void what_others_made_of_it_since_is_not_undone(void)
{
	size_t size = before_size;
	char *other = malloc(size + 100);

	memcpy(other, before, size); /* cut off: some bytes have moved */
	memcpy(other + bad_at, before + bad_end, 1000);
	CU_ASSERT_EQUAL(clean_mend_mbox(path, false, &removal), 0); /* control: there is no copy yet */
	CU_ASSERT_EQUAL(mended_after(other, size), 1);
	CU_ASSERT_TRUE(holds("", before, before_size) && nothing_else_is_there());

	memcpy(other + size, "From x\n\nnew\n\n", 13);
	CU_ASSERT_EQUAL(mended_after(other, size + 13), -EUCLEAN);
	CU_ASSERT_TRUE(holds("", other, size + 13) && holds(".mailward-before", before, before_size));
	CU_ASSERT_PTR_NOT_NULL(strstr(removal.text, "compare"));
	CU_ASSERT_FALSE(is_there(".lock"));

	other[200] ^= 1; /* of the same length, and with the same end */
	CU_ASSERT_EQUAL(mended_after(other, size), -EUCLEAN);
	CU_ASSERT_TRUE(holds("", other, size));

	CU_ASSERT_EQUAL(mended_after(after, after_size), 1);
	CU_ASSERT_TRUE(holds("", after, after_size) && nothing_else_is_there());
	after[after_size - 200] ^= 1;
	CU_ASSERT_EQUAL(mended_after(after, after_size), -EUCLEAN);
	after[after_size - 200] ^= 1;

	put("", before, before_size);
	CU_ASSERT_EQUAL(clean_mend_mbox(path, false, &removal), -EUCLEAN); /* without --yes it is said */
	CU_ASSERT_PTR_NOT_NULL(strstr(removal.text, "--yes"));
	if (geteuid() == 0) {
		CU_ASSERT_EQUAL(chown(name_of(".mailward-before"), 4711, 4711), 0);
		CU_ASSERT_EQUAL(clean_mend_mbox(path, true, &removal), -EPERM);
		CU_ASSERT_TRUE(is_there(".mailward-before"));
	}
	free(other);
	tidy();
}

static void anothers_lock_is_respected_and_our_own_of_a_dead_run_is_not(void)
{
	char text[64];
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	put("", before, before_size);
	put(".lock", text, (size_t)sprintf(text, "%d mailward\n", child));
	CU_ASSERT_EQUAL(clean_it(), 0);
	CU_ASSERT_TRUE(holds("", after, after_size) && nothing_else_is_there());
	put("", before, before_size);
	put(".lock", text, (size_t)sprintf(text, "%d\n", child)); /* somebody else's, stale or not */
	child = fork();
	if (child == 0)
		_exit(clean_it() == 0 ? 0 : 1);
	usleep(300000);
	CU_ASSERT_EQUAL(waitpid(child, NULL, WNOHANG), 0);
	CU_ASSERT_TRUE(holds("", before, before_size) && is_there(".lock"));
	unlink(name_of(".lock"));
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0 && holds("", after, after_size));
	tidy();
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/box", folder);
	mbox_make();
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("clean_mbox", NULL, NULL);
	CU_ADD_TEST(suite, one_message_goes_and_nothing_is_left_beside);
	CU_ADD_TEST(suite, killed_at_any_step_it_is_whole_or_its_copy_is_and_the_next_run_ends_it);
	CU_ADD_TEST(suite, a_signal_that_asks_it_to_end_waits_until_the_file_is_whole);
	CU_ADD_TEST(suite, what_others_made_of_it_since_is_not_undone);
	CU_ADD_TEST(suite, anothers_lock_is_respected_and_our_own_of_a_dead_run_is_not);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	rmdir(folder);
	return failures != 0;
}
