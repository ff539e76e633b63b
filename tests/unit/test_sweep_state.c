// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/sweep_state.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweep_state.h"

static struct sweep_state state, other;
static char text[SWEEP_STATE_SIZE], spoilt[SWEEP_STATE_SIZE];

static size_t help_write(void)
{
	state = (struct sweep_state){.kind = SWEEP_SCHEDULED,
				     .state = SWEEP_INTERRUPTED,
				     .flags = SWEEP_ALL,
				     .begun_ns = 1790000000000000000,
				     .known_ns = UINT64_MAX,
				     .root = 1,
				     .counts = {.files = 7, .bytes = 8, .infected = 1, .changing = 3},
				     .root_count = 2,
				     .depth = 2,
				     .redo_count = 1};
	state.roots[0] = (struct sweep_root){.ino = 5, .path = "/srv/with\na line and \xff"};
	state.roots[1] = (struct sweep_root){.ino = 6, .path = "/"};
	state.at[0] = (struct sweep_name){.ino = 77, .name = "end\nend"};
	state.at[1] = (struct sweep_name){.ino = 78, .name = " a"};
	snprintf(state.redo[0], sizeof(state.redo[0]), "a/\x01 b");
	return sweep_state_write(&state, text, sizeof(text));
}

static void what_is_written_is_read_with_hostile_names(void)
{
	size_t size = help_write();

	CU_ASSERT(size > 0);
	CU_ASSERT_TRUE_FATAL(sweep_state_read(text, size, &other));
	CU_ASSERT_EQUAL(memcmp(&state, &other, sizeof(state)), 0);
}

static void the_largest_one_fits(void)
{
	size_t size;

	help_write();
	state.root_count = state.root = SWEEP_ROOTS_MAX;
	state.depth = SWEEP_DEPTH_MAX;
	state.redo_count = SWEEP_REDO_MAX;
	for (uint32_t i = 0; i < SWEEP_ROOTS_MAX; i++) {
		memset(state.roots[i].path, '/', SWEEP_PATH_SIZE - 1);
		state.roots[i].ino = UINT64_MAX;
	}
	for (uint32_t i = 0; i < SWEEP_DEPTH_MAX; i++)
		memset(state.at[i].name, 'x', SWEEP_NAME_SIZE - 1);
	for (uint32_t i = 0; i < SWEEP_REDO_MAX; i++)
		memset(state.redo[i], 'x', SWEEP_PATH_SIZE - 1);
	size = sweep_state_write(&state, text, sizeof(text));
	CU_ASSERT(size > 0);
	CU_ASSERT_TRUE(sweep_state_read(text, size, &other));
	CU_ASSERT_EQUAL(memcmp(&state, &other, sizeof(state)), 0);
}

static void what_does_not_fit_is_not_written(void)
{
	size_t size = help_write();

	CU_ASSERT_EQUAL(sweep_state_write(&state, text, size), 0);
	CU_ASSERT_EQUAL(sweep_state_write(&state, text, size + 1), size);
}

static void every_cut_is_noticed(void)
{
	size_t size = help_write();

	for (size_t cut = 0; cut < size; cut++)
		CU_ASSERT_FALSE(sweep_state_read(text, cut, &other));
	text[size] = 'x';
	CU_ASSERT_FALSE(sweep_state_read(text, size + 1, &other));
}

static bool help_replaced(const char *what, const char *by)
{
	size_t size = help_write();
	char *place = strstr(text, what);
	size_t before;

	CU_ASSERT_PTR_NOT_NULL_FATAL(place);
	before = (size_t)(place - text);
	memcpy(spoilt, text, before);
	strcpy(spoilt + before, by);
	memcpy(spoilt + before + strlen(by), place + strlen(what), size - before - strlen(what));
	return sweep_state_read(spoilt, size - strlen(what) + strlen(by), &other);
}

static void what_is_out_of_range_is_no_state(void)
{
	CU_ASSERT_TRUE(help_replaced("kind 1\n", "kind 0\n"));
	CU_ASSERT_FALSE(help_replaced("kind 1\n", "kind 2\n"));
	CU_ASSERT_FALSE(help_replaced("kind 1\n", "kind 4294967297\n"));
	CU_ASSERT_FALSE(help_replaced("kind 1\n", "kind -1\n"));
	CU_ASSERT_FALSE(help_replaced("kind 1\n", "kind 1\nkind 1\n"));
	CU_ASSERT_FALSE(help_replaced("kind 1\n", ""));
	CU_ASSERT_FALSE(help_replaced("state 2\n", "state 99\n"));
	CU_ASSERT_FALSE(help_replaced("flags 1\n", "flags 8\n"));
	CU_ASSERT_FALSE(help_replaced("root 1\n", "root 3\n"));
	CU_ASSERT_FALSE(help_replaced("begun_ns 1790000000000000000", "begun_ns 99999999999999999999999"));
	CU_ASSERT_FALSE(help_replaced("mailward-sweep 1\n", "mailward-sweep 2\n"));
	CU_ASSERT_FALSE(help_replaced("end\n", "unknown 1\nend\n"));
}

static void a_name_that_leads_elsewhere_is_no_state(void)
{
	CU_ASSERT_FALSE(help_replaced("path 6 2f\n", "path 6 73\n"));   /* relative */
	CU_ASSERT_FALSE(help_replaced("at 78 2061\n", "at 78 2e2e\n")); /* .. */
	CU_ASSERT_FALSE(help_replaced("at 78 2061\n", "at 78 2e\n"));
	CU_ASSERT_FALSE(help_replaced("at 78 2061\n", "at 78 612f62\n")); /* a/b */
	CU_ASSERT_FALSE(help_replaced("at 78 2061\n", "at 78 6100\n"));   /* a zero */
	CU_ASSERT_FALSE(help_replaced("at 78 2061\n", "at 78 6\n"));
	CU_ASSERT_FALSE(help_replaced("at 78 2061\n", "at 78 zz\n"));
	CU_ASSERT_TRUE(help_replaced("redo 0 612f012062\n", "redo 0 \n"));
	CU_ASSERT_TRUE(help_replaced("redo 0 612f012062\n", "redo 0 2e2e612f2e2e2e\n"));    /* ..a/... */
	CU_ASSERT_FALSE(help_replaced("redo 0 612f012062\n", "redo 0 2e2e2f61\n"));         /* ../a */
	CU_ASSERT_FALSE(help_replaced("redo 0 612f012062\n", "redo 0 612f2e2e\n"));         /* a/.. */
	CU_ASSERT_FALSE(help_replaced("redo 0 612f012062\n", "redo 0 2f6574632f736861\n")); /* from / on */
	CU_ASSERT_TRUE(help_replaced("at 78 2061\n", "at 78 2062\n"));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"what is written is read with hostile names", what_is_written_is_read_with_hostile_names},
		{"the largest one fits", the_largest_one_fits},
		{"what does not fit is not written", what_does_not_fit_is_not_written},
		{"every cut is noticed", every_cut_is_noticed},
		{"what is out of range is no state", what_is_out_of_range_is_no_state},
		{"a name that leads elsewhere is no state", a_name_that_leads_elsewhere_is_no_state},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"sweep_state", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
