// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/lineage.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "lineage.h"

/* The programs of the policy: 8:100 is software 0, 8:200 software 3. */
static const struct listed programs[] = {{8, 100, 0}, {8, 200, 3}};

static struct running list[16];
static size_t count;

static void begin(void)
{
	memset(list, 0, sizeof(list));
	count = 0;
}

static void add(int pid, int parent, unsigned uid, uint64_t inode)
{
	list[count++] =
		(struct running){.pid = pid, .parent = parent, .uid = uid, .device = inode ? 8 : 0, .inode = inode};
}

static struct hook_label label_of(int pid)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].pid == pid)
			return list[i].label;
	return (struct hook_label){.flags = 99};
}

static void run(void)
{
	lineage_label(list, count, programs, 2);
}

static void who_executes_a_listed_program_is_mail_software(void)
{
	begin();
	add(1, 0, 0, 5);
	add(20, 1, 0, 100);
	add(30, 1, 0, 6);
	run();
	CU_ASSERT_EQUAL(label_of(20).flags, HOOK_LABEL_MAIL | HOOK_LABEL_SERVICE);
	CU_ASSERT_EQUAL(label_of(20).software, 1);
	CU_ASSERT_EQUAL(label_of(30).flags, 0);
	CU_ASSERT_EQUAL(label_of(1).flags, 0);
}

static void all_below_it_are_whatever_they_execute(void)
{
	begin();
	add(20, 1, 0, 200);
	add(21, 20, 1000, 7);
	add(22, 21, 1000, 8);
	run();
	CU_ASSERT_EQUAL(label_of(22).flags, HOOK_LABEL_MAIL);
	CU_ASSERT_EQUAL(label_of(22).software, 1 << 3);
}

static void the_order_of_pids_does_not_matter(void)
{
	begin();
	add(3, 9, 1000, 7);
	add(9, 40, 1000, 7);
	add(40, 1, 0, 100);
	run();
	CU_ASSERT_EQUAL(label_of(3).flags, HOOK_LABEL_MAIL);
	CU_ASSERT_EQUAL(label_of(3).software, 1);
}

static void an_ordinary_user_who_executes_one_is_no_service(void)
{
	begin();
	add(20, 1, 1000, 100);
	run();
	CU_ASSERT_EQUAL(label_of(20).flags, HOOK_LABEL_MAIL);
}

static void a_service_that_gave_up_root_is_known_by_its_parent(void)
{
	begin();
	add(20, 1, 0, 100);
	add(21, 20, 97, 200); /* listed itself, started by the service */
	add(22, 21, 97, 9);   /* not listed: the right is not inherited */
	run();
	CU_ASSERT_EQUAL(label_of(21).flags, HOOK_LABEL_MAIL | HOOK_LABEL_SERVICE);
	CU_ASSERT_EQUAL(label_of(21).software, 1 | 1 << 3);
	CU_ASSERT_EQUAL(label_of(22).flags, HOOK_LABEL_MAIL);
}

static void a_program_between_ends_the_right_for_those_below(void)
{
	begin();
	add(20, 1, 0, 100);
	add(21, 20, 1000, 7);
	add(22, 21, 1000, 100);
	run();
	CU_ASSERT_EQUAL(label_of(22).flags, HOOK_LABEL_MAIL);
}

static void one_inode_number_on_another_device_is_another_file(void)
{
	begin();
	add(20, 1, 0, 100);
	list[0].device = 9;
	run();
	CU_ASSERT_EQUAL(label_of(20).flags, 0);
}

static void kernel_threads_and_circles_end(void)
{
	begin();
	add(2, 0, 0, 0);
	add(5, 6, 0, 0);
	add(6, 5, 0, 100);
	add(7, 7, 0, 0);
	run();
	CU_ASSERT_EQUAL(label_of(2).flags, 0);
	CU_ASSERT_EQUAL(label_of(5).flags, HOOK_LABEL_MAIL);
	CU_ASSERT_EQUAL(label_of(7).flags, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"who executes a listed program is mail software", who_executes_a_listed_program_is_mail_software},
		{"all below it are, whatever they execute", all_below_it_are_whatever_they_execute},
		{"the order of pids does not matter", the_order_of_pids_does_not_matter},
		{"an ordinary user who executes one is no service", an_ordinary_user_who_executes_one_is_no_service},
		{"a service that gave up root is known by its parent",
		 a_service_that_gave_up_root_is_known_by_its_parent},
		{"a program between ends the right for those below", a_program_between_ends_the_right_for_those_below},
		{"one inode number on another device is another file",
		 one_inode_number_on_another_device_is_another_file},
		{"kernel threads and circles end", kernel_threads_and_circles_end},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"lineage", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
