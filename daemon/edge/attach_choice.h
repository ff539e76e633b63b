/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * attach.c's own room: which programs of the object a kernel takes, by its BTF and not by its version. Names of
 * programs: see bpf/maps.bpf.h.
 */
#ifndef MAILWARD_ATTACH_CHOICE_H
#define MAILWARD_ATTACH_CHOICE_H

#include <bpf/btf.h>
#include <stddef.h>

#include "attach.h"

enum choice {
	CHOICE_NOT_OURS = 0, /* not wanted in this mode, or made for another shape of the hook */
	CHOICE_ABSENT,       /* this kernel has no such hook */
	CHOICE_LOAD
};

/* Is this program to be loaded? hook_out (size): what it hooks, "file_open", "sched_process_exit". */
enum choice choice_of_program(const struct btf *kernel, enum attach_mode mode, const char *program, char *hook_out,
			      size_t size);

/* Is this map there in this mode? Only the full mode has inode storage and what belongs to it. */
bool choice_of_map(enum attach_mode mode, enum hook_map map);

#endif
