// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/newest.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "newest.h"

static struct newest newest;

static void give(int64_t time_ns)
{
	char path[32];

	snprintf(path, sizeof(path), "%lld", (long long)time_ns);
	if (newest_wants(&newest, time_ns))
		newest_add(&newest, time_ns, 3, path);
}

/* All of them, each with its own path, the newest first. */
static uint32_t take_all(int64_t *last_out)
{
	struct newest_file file;
	int64_t before = INT64_MAX;
	uint32_t count = 0;

	while (newest_take(&newest, &file)) {
		CU_ASSERT_TRUE(file.time_ns <= before && atoll(file.path) == file.time_ns && file.root == 3);
		before = file.time_ns;
		free(file.path);
		count++;
	}
	*last_out = before;
	return count;
}

static void few_come_out_in_their_order(void)
{
	int64_t last;

	for (int64_t i = 0; i < 1000; i++)
		give(i * 37 % 1000);
	CU_ASSERT_FALSE(newest.others);
	CU_ASSERT_EQUAL(newest_sort(&newest), 0);
	CU_ASSERT_EQUAL(take_all(&last), 1000);
	CU_ASSERT_EQUAL(last, 0);
	newest_clear(&newest);
}

static void of_many_the_newest_stay(void)
{
	int64_t last, many = 3 * NEWEST_MOST + 1; /* no multiple of 7919 */

	for (int64_t i = 0; i < many; i++)
		give(i * 7919 % many);
	CU_ASSERT_TRUE(newest.others);
	CU_ASSERT_EQUAL(newest_sort(&newest), many - NEWEST_MOST);
	CU_ASSERT_EQUAL(take_all(&last), NEWEST_MOST);
	CU_ASSERT_EQUAL(last, many - NEWEST_MOST);
	newest_clear(&newest);
	CU_ASSERT_FALSE(newest.others);
}

static void what_has_no_path_is_one_of_the_others(void)
{
	struct newest_file file;

	CU_ASSERT_TRUE(newest_wants(&newest, 5));
	newest_add(&newest, 5, 0, NULL);
	CU_ASSERT_TRUE(newest.others);
	newest_add(&newest, 3, 0, "3");
	CU_ASSERT_EQUAL(newest_sort(&newest), 5); /* so that it is found among them */
	CU_ASSERT_TRUE_FATAL(newest_take(&newest, &file));
	free(file.path);
	CU_ASSERT_FALSE(newest_take(&newest, &file));
	newest_clear(&newest);
	CU_ASSERT_EQUAL(newest_sort(&newest), 0);
}

static void clearing_half_way_frees_the_rest(void)
{
	struct newest_file file;

	for (int64_t i = 0; i < 10; i++)
		give(i);
	newest_sort(&newest);
	CU_ASSERT_TRUE_FATAL(newest_take(&newest, &file));
	CU_ASSERT_EQUAL(file.time_ns, 9);
	free(file.path);
	newest_clear(&newest);
	CU_ASSERT_FALSE(newest_take(&newest, &file));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("newest", NULL, NULL);
	CU_ADD_TEST(suite, few_come_out_in_their_order);
	CU_ADD_TEST(suite, of_many_the_newest_stay);
	CU_ADD_TEST(suite, what_has_no_path_is_one_of_the_others);
	CU_ADD_TEST(suite, clearing_half_way_frees_the_rest);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
