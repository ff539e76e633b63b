// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/obstacle.c
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "obstacle.h"

static char why[200], remedy[300];

static void say(enum obstacle obstacle, int error, const char *modules, const char *said)
{
	struct obstacle_facts facts = {.error = error, .modules = modules, .release = "6.1.0", .said = said};

	memset(why, 'x', sizeof(why));
	memset(remedy, 'x', sizeof(remedy));
	obstacle_text(obstacle, &facts, why, sizeof(why), remedy, sizeof(remedy));
}

static void a_module_is_found_by_its_whole_name(void)
{
	CU_ASSERT(modules_have("lockdown,capability,bpf", "bpf"));
	CU_ASSERT(modules_have("lockdown,capability,bpf\n", "bpf"));
	CU_ASSERT(modules_have("bpf", "bpf"));
	CU_ASSERT(modules_have("bpf,yama", "bpf"));
	CU_ASSERT(!modules_have("lockdown,bpfx,xbpf", "bpf"));
	CU_ASSERT(!modules_have("", "bpf"));
	CU_ASSERT(!modules_have("\n", "bpf"));
}

static void the_remedy_is_the_list_that_is_active_and_bpf(void)
{
	say(OBSTACLE_NOT_ACTIVE, 0, "lockdown,capability,landlock,yama,apparmor\n", "");
	CU_ASSERT_PTR_NOT_NULL(strstr(remedy, " lsm=lockdown,capability,landlock,yama,apparmor,bpf"));
	CU_ASSERT_PTR_NULL(strchr(remedy, '\n'));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "(lockdown,capability,landlock,yama,apparmor)"));
}

static void without_a_list_the_remedy_says_where_it_is_found(void)
{
	say(OBSTACLE_NOT_ACTIVE, 0, "", "");
	CU_ASSERT_PTR_NOT_NULL(strstr(remedy, "securityfs"));
	CU_ASSERT_PTR_NULL(strstr(remedy, "lsm=,"));
}

static void a_list_that_has_bpf_already_is_no_remedy(void)
{
	say(OBSTACLE_NOT_ACTIVE, 0, "capability,bpf\n", "");
	CU_ASSERT_STRING_EQUAL(remedy, "");
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "does not call"));
}

static void each_obstacle_has_a_sentence_that_fits(void)
{
	for (int i = OBSTACLE_NONE + 1; i < OBSTACLES; i++) {
		say((enum obstacle)i, -EPERM, "capability", "something");
		CU_ASSERT(strlen(why) > 10 && strlen(why) < sizeof(why) - 1);
		CU_ASSERT(strlen(remedy) > 10 && strlen(remedy) < sizeof(remedy) - 1);
	}
	say(OBSTACLE_NONE, 0, "", "");
	CU_ASSERT(why[0] == 0 && remedy[0] == 0);
}

static void a_long_list_is_cut_and_nothing_else_is_written(void)
{
	char list[2000];

	memset(list, 'm', sizeof(list));
	list[sizeof(list) - 1] = 0;
	say(OBSTACLE_NOT_ACTIVE, 0, list, "");
	CU_ASSERT_EQUAL(strlen(why), sizeof(why) - 1);
	CU_ASSERT_EQUAL(strlen(remedy), sizeof(remedy) - 1);
}

static void what_the_loader_said_is_passed_on(void)
{
	say(OBSTACLE_PROGRAM, -EINVAL, "", "prog 'lsm_file_open': failed to load: -22");
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "lsm_file_open"));
	say(OBSTACLE_PROGRAM, -EINVAL, "", "");
	CU_ASSERT_PTR_NOT_NULL(strstr(why, strerror(EINVAL)));
}

int main(void)
{
	CU_pSuite suite;

	CU_initialize_registry();
	suite = CU_add_suite("obstacle", NULL, NULL);
	CU_ADD_TEST(suite, a_module_is_found_by_its_whole_name);
	CU_ADD_TEST(suite, the_remedy_is_the_list_that_is_active_and_bpf);
	CU_ADD_TEST(suite, without_a_list_the_remedy_says_where_it_is_found);
	CU_ADD_TEST(suite, a_list_that_has_bpf_already_is_no_remedy);
	CU_ADD_TEST(suite, each_obstacle_has_a_sentence_that_fits);
	CU_ADD_TEST(suite, a_long_list_is_cut_and_nothing_else_is_written);
	CU_ADD_TEST(suite, what_the_loader_said_is_passed_on);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
