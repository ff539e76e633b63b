// SPDX-License-Identifier: GPL-2.0-only
#include "attach_choice.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many arguments a function of the kernel has; -1: it has no such function. */
static int argument_count(const struct btf *kernel, const char *function)
{
	int id = btf__find_by_name_kind(kernel, function, BTF_KIND_FUNC);
	const struct btf_type *type = id > 0 ? btf__type_by_id(kernel, (unsigned)id) : NULL;
	const struct btf_type *prototype = type ? btf__type_by_id(kernel, type->type) : NULL;

	return prototype && btf_is_func_proto(prototype) ? btf_vlen(prototype) : -1;
}

/* lsm_HOOK, or lsm_HOOK_N for the shape with N arguments. */
static enum choice choice_of_lsm(const struct btf *kernel, char *hook)
{
	char function[80];
	size_t length = strlen(hook);
	int wanted = -1, found;

	if (length > 2 && hook[length - 2] == '_' && isdigit((unsigned char)hook[length - 1])) {
		wanted = hook[length - 1] - '0';
		hook[length - 2] = 0;
	}
	snprintf(function, sizeof(function), "bpf_lsm_%s", hook);
	found = argument_count(kernel, function);
	if (found < 0)
		return CHOICE_ABSENT;
	return wanted < 0 || wanted == found ? CHOICE_LOAD : CHOICE_NOT_OURS;
}

static enum choice choice_of_tracepoint(const struct btf *kernel, const char *name)
{
	char type[80];

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	return btf__find_by_name_kind(kernel, type, BTF_KIND_TYPEDEF) > 0 ? CHOICE_LOAD : CHOICE_ABSENT;
}

enum choice choice_of_program(const struct btf *kernel, enum attach_mode mode, const char *program, char *hook_out,
			      size_t size)
{
	if (strncmp(program, "lsm_", 4) == 0) {
		snprintf(hook_out, size, "%s", program + 4);
		return mode == ATTACH_FULL ? choice_of_lsm(kernel, hook_out) : CHOICE_NOT_OURS;
	}
	if (strncmp(program, "tp_", 3) == 0) {
		snprintf(hook_out, size, "%s", program + 3);
		/* In full mode LSM hooks do the others' work. */
		if (mode == ATTACH_FULL && strcmp(hook_out, "sched_process_exit") != 0)
			return CHOICE_NOT_OURS;
		return choice_of_tracepoint(kernel, hook_out);
	}
	hook_out[0] = 0;
	return CHOICE_NOT_OURS;
}

bool choice_of_map(enum attach_mode mode, enum hook_map map)
{
	switch (map) {
	case HOOK_LABELS:
	case HOOK_LEAVERS:
	case HOOK_PROGRAMS:
	case HOOK_ORDERS:
	case HOOK_STATE:
		return mode != ATTACH_NONE;
	case HOOK_GENERATIONS:
	case HOOK_VERDICTS:
	case HOOK_ORIGINS:
	case HOOK_FOLDERS:
	case HOOK_SYSTEMS:
	case HOOK_REFUSALS:
		return mode == ATTACH_FULL;
	case HOOK_MAPS:
		break;
	}
	return false;
}
