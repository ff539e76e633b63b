// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/users.c
#include <CUnit/Basic.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "users.h"

#define SECOND 1000000000ull
#define SLOW_UID 5
#define NAMELESS_UID 6

static int descriptor;

/* Stands in for the name service: one user whose server takes three seconds, one that nobody knows. */
int getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, struct passwd **found)
{
	*found = NULL;
	if (uid == NAMELESS_UID)
		return 0;
	if (uid == SLOW_UID)
		sleep(3);
	snprintf(buffer, size, "user%u", uid);
	*entry = (struct passwd){.pw_name = buffer};
	*found = entry;
	return 0;
}

/* Asks until it is settled or that many milliseconds are over. */
static bool settled(uint32_t uid, unsigned ms, char name[USER_SIZE])
{
	uint64_t end = now_ns() + ms * 1000000ull;

	while (!users_name(uid, now_ns(), name)) {
		struct pollfd wait = {.fd = descriptor, .events = POLLIN};
		if (now_ns() > end)
			return false;
		if (poll(&wait, 1, 20) > 0)
			users_take(now_ns());
	}
	return true;
}

static void a_name_comes_and_is_kept_for_ten_minutes(void)
{
	char name[USER_SIZE];

	CU_ASSERT_FALSE(users_name(1, now_ns(), name));
	CU_ASSERT_TRUE(settled(1, 6000, name));
	CU_ASSERT_STRING_EQUAL(name, "user1");
	CU_ASSERT_TRUE(users_name(1, now_ns() + 599 * SECOND, name));
	CU_ASSERT_STRING_EQUAL(name, "user1");
	CU_ASSERT_FALSE(users_name(1, now_ns() + 601 * SECOND, name));
}

static void a_uid_without_a_name_and_an_unknown_uid_are_settled(void)
{
	char name[USER_SIZE] = "x";

	CU_ASSERT_TRUE(settled(NAMELESS_UID, 6000, name));
	CU_ASSERT_STRING_EQUAL(name, "");
	CU_ASSERT_TRUE(users_name(UINT32_MAX, now_ns(), name));
}

static void a_name_server_that_hangs_costs_a_second_and_no_waiting(void)
{
	char name[USER_SIZE];
	uint64_t start = now_ns();

	CU_ASSERT_FALSE(users_name(SLOW_UID, start, name));
	CU_ASSERT_FALSE(users_name(7, start, name)); /* behind it */
	CU_ASSERT_TRUE(now_ns() - start < SECOND / 2);
	CU_ASSERT_TRUE(users_name(SLOW_UID, start + SECOND, name));
	CU_ASSERT_STRING_EQUAL(name, "");
	CU_ASSERT_TRUE(users_name(7, start + SECOND, name));
	CU_ASSERT_STRING_EQUAL(name, "");
	CU_ASSERT_TRUE(users_name(8, start + SECOND, name)); /* nobody waits for one that hangs */
	for (int i = 0; i < 400 && name[0] == 0; i++) {
		poll(NULL, 0, 20);
		users_take(now_ns());
		users_name(SLOW_UID, now_ns(), name);
	}
	CU_ASSERT_STRING_EQUAL(name, "user5"); /* it comes late, and is there the next time */
	CU_ASSERT_TRUE(settled(7, 6000, name));
	CU_ASSERT_STRING_EQUAL(name, "user7");
}

static void more_users_than_there_is_room_for_are_answered_all_the_same(void)
{
	char name[USER_SIZE], expected[USER_SIZE];

	for (uint32_t uid = 1000; uid < 1600; uid++) {
		CU_ASSERT_TRUE(settled(uid, 6000, name));
		snprintf(expected, sizeof(expected), "user%u", uid);
		CU_ASSERT_STRING_EQUAL(name, expected);
	}
}

#define TEST(name) CU_add_test(suite, #name, name)
int main(void)
{
	CU_pSuite suite;
	unsigned failed;

	descriptor = users_start();
	CU_initialize_registry();
	suite = CU_add_suite("users", NULL, NULL);
	TEST(a_name_comes_and_is_kept_for_ten_minutes);
	TEST(a_uid_without_a_name_and_an_unknown_uid_are_settled);
	TEST(a_name_server_that_hangs_costs_a_second_and_no_waiting);
	TEST(more_users_than_there_is_room_for_are_answered_all_the_same);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() + (descriptor < 0);
	CU_cleanup_registry();
	return failed != 0;
}
