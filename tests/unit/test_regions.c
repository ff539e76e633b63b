// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/regions.c
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "regions.h"

#define SIZE (1u << 20)

static struct regions before, after;

static void only_writable_memory_of_no_file_counts(void)
{
	static const char *const lines[] = {"7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n",
					    "7f0000100000-7f0000200000 r--p 00000000 00:00 0 \n",
					    "7f0000200000-7f0000300000 rw-s 00000000 00:00 0 \n",
					    "7f0000300000-7f0000400000 rw-p 00001000 fe:00 4711   /usr/lib/libc.so.6\n",
					    "55550000-55560000 rw-p 00000000 00:00 0          [heap]\n",
					    "7ffe00000000-7ffe00100000 rw-p 00000000 00:00 0  [stack]\n",
					    "nonsense\n",
					    "7f0000500000-7f0000600000 rw-p 00000000 00:00 0\n"};
	struct regions regions = {0};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		regions_parse(&regions, lines[i]);
	CU_ASSERT_EQUAL(regions.count, 2);
	CU_ASSERT_EQUAL(regions.list[0].start, 0x7f0000000000);
	CU_ASSERT_EQUAL(regions.list[1].end, 0x7f0000600000);
}

static void what_was_there_before_is_taken_out(void)
{
	struct regions regions = {.count = 3, .list = {{10, 20}, {30, 60}, {70, 80}}};
	struct regions others = {.count = 4, .list = {{5, 12}, {35, 40}, {50, 65}, {70, 80}}};

	regions_subtract(&regions, &others);
	CU_ASSERT_EQUAL_FATAL(regions.count, 3);
	CU_ASSERT_EQUAL(regions.list[0].start, 12);
	CU_ASSERT_EQUAL(regions.list[0].end, 20);
	CU_ASSERT_EQUAL(regions.list[1].start, 30);
	CU_ASSERT_EQUAL(regions.list[1].end, 35);
	CU_ASSERT_EQUAL(regions.list[2].start, 40);
	CU_ASSERT_EQUAL(regions.list[2].end, 50);
}

static void too_many_to_know_are_none(void)
{
	static struct regions regions, none;

	for (unsigned i = 0; i <= REGIONS_MAX; i++)
		regions_parse(&regions, "1000-2000 rw-p 00000000 00:00 0\n");
	regions_subtract(&none, &regions);
	CU_ASSERT_EQUAL(none.count, 0);
	regions_read(&regions);
	CU_ASSERT(regions.count <= REGIONS_MAX);
}

/* 1: a child of now has it. */
static int child_has(void *memory)
{
	unsigned char there[SIZE / 4096];
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(mincore(memory, SIZE, there) == 0 ? 1 : 2);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_child_has_what_it_is_to_inherit(void)
{
	void *memory;

	regions_read(&before);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(memory != MAP_FAILED);
	memset(memory, 1, SIZE);
	regions_read(&after);
	regions_subtract(&after, &before);
	CU_ASSERT_FATAL(after.count >= 1);
	CU_ASSERT_EQUAL(child_has(memory), 1);
	regions_inherit(&after, false);
	CU_ASSERT_EQUAL(child_has(memory), 2);
	CU_ASSERT_EQUAL(*(char *)memory, 1);
	regions_inherit(&after, true);
	CU_ASSERT_EQUAL(child_has(memory), 1);
	munmap(memory, SIZE);
	regions_inherit(&after, true); /* nothing is there: no harm */
}

int main(void)
{
	CU_pSuite suite;
	unsigned failures;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite("regions", NULL, NULL);
	CU_ADD_TEST(suite, only_writable_memory_of_no_file_counts);
	CU_ADD_TEST(suite, what_was_there_before_is_taken_out);
	CU_ADD_TEST(suite, too_many_to_know_are_none);
	CU_ADD_TEST(suite, a_child_has_what_it_is_to_inherit);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures ? 1 : 0;
}
