// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/clamd.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clamd.h"

static char name[SIGNATURE_SIZE], version[128];
static uint64_t built;

/* On the heap in its exact size, so that a sanitizer sees each byte read beyond it. */
static enum clamd_answer answer_of(const char *text, size_t size)
{
	char *copy = malloc(size ? size : 1);
	enum clamd_answer answer;

	memcpy(copy, text, size);
	answer = clamd_answer_read(copy, size, name);
	free(copy);
	return answer;
}
#define ANSWER(text) answer_of(text, sizeof(text))

static void its_three_answers_are_told_apart(void)
{
	CU_ASSERT_EQUAL(ANSWER("fd[7]: OK"), CLAMD_OK);
	CU_ASSERT_EQUAL(ANSWER("fd[1234]: Win.Test.EICAR_HDB-1 FOUND"), CLAMD_FOUND);
	CU_ASSERT_STRING_EQUAL(name, "Win.Test.EICAR_HDB-1");
	CU_ASSERT_EQUAL(ANSWER("fd[7]: Can't open file ERROR"), CLAMD_ERROR);
	CU_ASSERT_STRING_EQUAL(name, "Can't open file ERROR");
	CU_ASSERT_EQUAL(ANSWER("COMMAND READ TIMED OUT"), CLAMD_ERROR);
	CU_ASSERT_STRING_EQUAL(name, "COMMAND READ TIMED OUT");
}

static void what_is_not_quite_an_ok_is_none(void)
{
	CU_ASSERT_EQUAL(answer_of("fd[7]: OK", 9), CLAMD_NO_ANSWER);
	CU_ASSERT_EQUAL(answer_of("", 0), CLAMD_NO_ANSWER);
	CU_ASSERT_EQUAL(answer_of("", 1), CLAMD_NO_ANSWER);
	CU_ASSERT_EQUAL(ANSWER("fd[7]: OK\0fd[7]: OK"), CLAMD_NO_ANSWER);
	CU_ASSERT_EQUAL(ANSWER("OK"), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[]: OK"), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[7]:OK"), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[7]: OK "), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[7]: ok"), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[7"), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[7]: FOUND"), CLAMD_ERROR);
	CU_ASSERT_EQUAL(ANSWER("fd[7]:  FOUND"), CLAMD_ERROR);
}

static void names_are_cut_and_printable(void)
{
	char text[2000] = "fd[7]: ";

	CU_ASSERT_EQUAL(ANSWER("fd[7]: A\x1b\x80"
			       "B FOUND"),
			CLAMD_FOUND);
	CU_ASSERT_STRING_EQUAL(name, "A??B");
	memset(text + 7, 'x', 500);
	memcpy(text + 507, " FOUND", 7);
	CU_ASSERT_EQUAL(answer_of(text, 514), CLAMD_FOUND);
	CU_ASSERT_EQUAL(strlen(name), SIGNATURE_SIZE - 1);
	memset(text + 7, 'x', 1900);
	CU_ASSERT_EQUAL(answer_of(text, 1908), CLAMD_NO_ANSWER);
}

#define VERSION(text) clamd_version_read(text, sizeof(text), version, &built)

static void its_version_names_the_official_database(void)
{
	struct tm when = {.tm_year = 126, .tm_mon = 10, .tm_mday = 5, .tm_hour = 8, .tm_isdst = -1};

	CU_ASSERT(VERSION("ClamAV 1.4.6"));
	CU_ASSERT_STRING_EQUAL(version, "ClamAV 1.4.6");
	CU_ASSERT_EQUAL(built, 0);
	CU_ASSERT(VERSION("ClamAV 1.4.6/27500/Thu Nov  5 08:00:00 2026"));
	CU_ASSERT_EQUAL(built, (uint64_t)mktime(&when) * 1000000000u);
	CU_ASSERT(VERSION("ClamAV 1.4.6/27500/whenever"));
	CU_ASSERT_EQUAL(built, 0);
	CU_ASSERT(VERSION("ClamAV \x1b[2J"));
	CU_ASSERT_STRING_EQUAL(version, "ClamAV ?[2J");
	CU_ASSERT_FALSE(VERSION("PONG"));
	CU_ASSERT_FALSE(VERSION("ClamAV 1\0 2"));
	CU_ASSERT_FALSE(clamd_version_read("ClamAV 1.4.6", 12, version, &built));
}

static void two_engines_in_memory_are_a_reload(void)
{
	static const char one[] = "MEMSTATS: heap N/A pools 1 pools_used 5.882M\nEND\n",
			  two[] = "MEMSTATS: heap N/A pools 2 pools_used 5.882M\nEND\n";

	CU_ASSERT(clamd_holds_one(one, sizeof(one)));
	CU_ASSERT_FALSE(clamd_holds_one(two, sizeof(two)));
	CU_ASSERT_FALSE(clamd_holds_one("UNKNOWN", 7));
}

static void what_it_is_tried_with_is_new_each_time(void)
{
	static char text[2][40000];
	int (*const makers[])(void) = {clamd_harmless_mail, clamd_deep_mail};
	const ssize_t least[] = {100, 10000}; /* 110 archives, each 100 bytes more */

	for (int maker = 0; maker < 2; maker++) {
		ssize_t size[2];
		for (int i = 0; i < 2; i++) {
			int fd = makers[maker]();
			CU_ASSERT_FATAL(fd >= 0);
			size[i] = pread(fd, text[i], sizeof(text[i]), 0);
			close(fd);
		}
		CU_ASSERT(size[0] > least[maker] && size[0] < (ssize_t)sizeof(text[0]));
		CU_ASSERT_EQUAL(size[0], size[1]);
		CU_ASSERT_EQUAL(memcmp(text[0], "From: <canary@", 14), 0);
		CU_ASSERT_NOT_EQUAL(memcmp(text[0], text[1], (size_t)size[0]), 0);
	}
}

static int listener(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path, path, strlen(path));
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 0) < 0)
		abort();
	return fd;
}

static void a_question_is_one_and_the_last(void)
{
	char folder[] = "/tmp/mailward-clamd-XXXXXX", path[80], bytes[32];
	int listening, conn, far;

	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof(path), "%s/socket", folder);
	CU_ASSERT_EQUAL(clamd_ask(path, CLAMD_VERSION, -1), -2 /* ENOENT */);
	listening = listener(path);
	conn = clamd_ask(path, CLAMD_VERSION, -1);
	CU_ASSERT_FATAL(conn >= 0);
	CU_ASSERT_EQUAL(clamd_ask(path, CLAMD_VERSION, -1), -11 /* EAGAIN: a queue of one */);
	far = accept(listening, NULL, NULL);
	CU_ASSERT_EQUAL(read(far, bytes, sizeof(bytes)), 9);
	CU_ASSERT_EQUAL(memcmp(bytes, "zVERSION", 9), 0);
	CU_ASSERT_EQUAL(read(far, bytes, sizeof(bytes)), 0);
	CU_ASSERT_EQUAL(send(conn, "zSHUTDOWN", 10, MSG_NOSIGNAL), -1);
	CU_ASSERT_EQUAL(write(far, "ClamAV", 6), 6);
	CU_ASSERT_EQUAL(read(conn, bytes, sizeof(bytes)), 6);
	close(far);
	close(conn);
	close(listening);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("clamd", NULL, NULL);
	CU_ADD_TEST(suite, its_three_answers_are_told_apart);
	CU_ADD_TEST(suite, what_is_not_quite_an_ok_is_none);
	CU_ADD_TEST(suite, names_are_cut_and_printable);
	CU_ADD_TEST(suite, its_version_names_the_official_database);
	CU_ADD_TEST(suite, two_engines_in_memory_are_a_reload);
	CU_ADD_TEST(suite, what_it_is_tried_with_is_new_each_time);
	CU_ADD_TEST(suite, a_question_is_one_and_the_last);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
