// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/edge/attach_choice.c
// libs: libbpf
/* A made-up kernel: its BTF is put together here. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "attach_choice.h"

static struct btf *kernel;
static char hook[40];

static void add_function(const char *name, int arguments)
{
	int number = btf__add_int(kernel, "int", 4, BTF_INT_SIGNED), prototype = btf__add_func_proto(kernel, number);

	for (int i = 0; i < arguments; i++)
		btf__add_func_param(kernel, "a", number);
	btf__add_func(kernel, name, BTF_FUNC_STATIC, prototype);
}

static void add_tracepoint(const char *name)
{
	btf__add_typedef(kernel, name, btf__add_ptr(kernel, 0));
}

static void begin(void)
{
	btf__free(kernel);
	kernel = btf__new_empty();
}

static enum choice choose(enum attach_mode mode, const char *program)
{
	return choice_of_program(kernel, mode, program, hook, sizeof(hook));
}

static void a_hook_that_the_kernel_has_is_loaded(void)
{
	begin();
	add_function("bpf_lsm_file_open", 1);
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "lsm_file_open"), CHOICE_LOAD);
	CU_ASSERT_STRING_EQUAL(hook, "file_open");
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "lsm_file_truncate"), CHOICE_ABSENT);
	CU_ASSERT_STRING_EQUAL(hook, "file_truncate");
}

static void of_two_shapes_the_one_with_as_many_arguments_is_loaded(void)
{
	begin();
	add_function("bpf_lsm_inode_setattr", 2);
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "lsm_inode_setattr_2"), CHOICE_LOAD);
	CU_ASSERT_STRING_EQUAL(hook, "inode_setattr");
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "lsm_inode_setattr_3"), CHOICE_NOT_OURS);
	begin();
	add_function("bpf_lsm_inode_setattr", 3);
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "lsm_inode_setattr_2"), CHOICE_NOT_OURS);
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "lsm_inode_setattr_3"), CHOICE_LOAD);
}

static void labels_alone_take_no_hook_but_every_tracepoint(void)
{
	begin();
	add_function("bpf_lsm_file_open", 1);
	add_tracepoint("btf_trace_sched_process_exit");
	add_tracepoint("btf_trace_sched_process_fork");
	CU_ASSERT_EQUAL(choose(ATTACH_LABELS, "lsm_file_open"), CHOICE_NOT_OURS);
	CU_ASSERT_EQUAL(choose(ATTACH_LABELS, "tp_sched_process_fork"), CHOICE_LOAD);
	CU_ASSERT_EQUAL(choose(ATTACH_LABELS, "tp_sched_process_exit"), CHOICE_LOAD);
	CU_ASSERT_EQUAL(choose(ATTACH_LABELS, "tp_sched_process_exec"), CHOICE_ABSENT);
}

static void the_full_mode_takes_the_exit_alone(void)
{
	begin();
	add_tracepoint("btf_trace_sched_process_exit");
	add_tracepoint("btf_trace_sched_process_fork");
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "tp_sched_process_exit"), CHOICE_LOAD);
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "tp_sched_process_fork"), CHOICE_NOT_OURS);
}

static void a_program_of_another_name_is_not_ours(void)
{
	begin();
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, "helper"), CHOICE_NOT_OURS);
	CU_ASSERT_EQUAL(choose(ATTACH_FULL, ""), CHOICE_NOT_OURS);
}

static void only_the_full_mode_has_inode_storage(void)
{
	for (int i = 0; i < HOOK_MAPS; i++) {
		CU_ASSERT(choice_of_map(ATTACH_FULL, (enum hook_map)i));
		CU_ASSERT(!choice_of_map(ATTACH_NONE, (enum hook_map)i));
	}
	CU_ASSERT(!choice_of_map(ATTACH_LABELS, HOOK_GENERATIONS));
	CU_ASSERT(!choice_of_map(ATTACH_LABELS, HOOK_VERDICTS));
	CU_ASSERT(choice_of_map(ATTACH_LABELS, HOOK_LABELS));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a hook that the kernel has is loaded", a_hook_that_the_kernel_has_is_loaded},
		{"of two shapes the one with as many arguments is loaded",
		 of_two_shapes_the_one_with_as_many_arguments_is_loaded},
		{"labels alone take no hook but every tracepoint", labels_alone_take_no_hook_but_every_tracepoint},
		{"the full mode takes the exit alone", the_full_mode_takes_the_exit_alone},
		{"a program of another name is not ours", a_program_of_another_name_is_not_ours},
		{"only the full mode has inode storage", only_the_full_mode_has_inode_storage},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"attach choice", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned failed;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
