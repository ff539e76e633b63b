/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which of the processes that run already are mail software: what they execute, and whose children they are. Those that
 * start later are noticed by the kernel side itself (bpf/origin.bpf.c), by the same rules. Known limit: the children of
 * a parent that has ended before this was asked are nobody's.
 */
#ifndef MAILWARD_LINEAGE_H
#define MAILWARD_LINEAGE_H

#include <stddef.h>
#include <stdint.h>

#include "hooks.h"

struct running {
	int32_t pid, parent;
	uint32_t uid;     /* real: who started it, whatever set-user-ID made of it */
	uint64_t started; /* ticks since boot: tells it from another process with its pid */
	uint64_t device;  /* of what it executes, by stat(); 0: not known, or a kernel thread */
	uint64_t inode;
	struct hook_label label; /* out */
};

/* A program of the policy. */
struct listed {
	uint64_t device, inode; /* by stat() */
	uint32_t software;      /* its index */
};

/* Fills in the labels: HOOK_LABEL_MAIL for who executes a listed program and all below it; HOOK_LABEL_SERVICE only for
 * who executes one itself, started by root or by a process that has it. */
void lineage_label(struct running *list, size_t count, const struct listed *programs, size_t program_count);

#endif
