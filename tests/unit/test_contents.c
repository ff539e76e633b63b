// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/contents.c
#include <CUnit/Basic.h>
#include <string.h>

#include "contents.h"

static struct contents *contents;
static uint8_t a[32], b[32];

static int setup(void)
{
	memset(a, 1, sizeof(a));
	memset(b, 2, sizeof(b));
	return contents_open(&contents);
}

static int teardown(void)
{
	contents_close(&contents);
	return 0;
}

static void one_worker_alone_makes_no_content_clean(void)
{
	contents_keep(contents, a, 5, 1);
	contents_keep(contents, a, 5, 1);
	CU_ASSERT_FALSE(contents_clean(contents, a, 5));
}

static void two_workers_do(void)
{
	contents_keep(contents, a, 5, 1);
	contents_keep(contents, a, 5, 2);
	CU_ASSERT_TRUE(contents_clean(contents, a, 5));
	CU_ASSERT_FALSE(contents_clean(contents, b, 5));
}

static void other_definitions_ask_anew(void)
{
	contents_keep(contents, a, 5, 1);
	contents_keep(contents, a, 5, 2);
	CU_ASSERT_FALSE(contents_clean(contents, a, 6));
	contents_keep(contents, a, 6, 3);
	CU_ASSERT_FALSE(contents_clean(contents, a, 6));
	CU_ASSERT_FALSE(contents_clean(contents, a, 5));
}

static void a_finding_names_who_said_clean(void)
{
	contents_keep(contents, b, 5, 7);
	CU_ASSERT_EQUAL(contents_contradict(contents, b, 5), 7);
	CU_ASSERT_EQUAL(contents_contradict(contents, b, 5), 0);
	contents_keep(contents, b, 5, 7);
	CU_ASSERT_EQUAL(contents_contradict(contents, b, 6), 0);
}

static void a_withdrawn_worker_takes_its_contents_along(void)
{
	contents_keep(contents, b, 5, 8);
	contents_keep(contents, b, 5, 9);
	CU_ASSERT_TRUE(contents_clean(contents, b, 5));
	contents_withdraw(contents, 9);
	CU_ASSERT_FALSE(contents_clean(contents, b, 5));
}

static void the_memory_is_bounded_and_keeps_what_was_used_last(void)
{
	uint8_t digest[32] = {0};

	for (uint32_t i = 0; i < 200000; i++) {
		memcpy(digest, &i, sizeof(i));
		contents_keep(contents, digest, 5, 1);
		contents_keep(contents, digest, 5, 2);
	}
	CU_ASSERT_TRUE(contents_clean(contents, digest, 5));
	memset(digest, 0, sizeof(digest));
	CU_ASSERT_FALSE(contents_clean(contents, digest, 5));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("contents", setup, teardown);
	CU_ADD_TEST(suite, one_worker_alone_makes_no_content_clean);
	CU_ADD_TEST(suite, two_workers_do);
	CU_ADD_TEST(suite, other_definitions_ask_anew);
	CU_ADD_TEST(suite, a_finding_names_who_said_clean);
	CU_ADD_TEST(suite, a_withdrawn_worker_takes_its_contents_along);
	CU_ADD_TEST(suite, the_memory_is_bounded_and_keeps_what_was_used_last);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
