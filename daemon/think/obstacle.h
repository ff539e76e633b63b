/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a host does not get the full mode, and what its administrator can do about it: the exact line where there is one.
 * Pure text; what is the case is found out by edge/attach.c.
 */
#ifndef MAILWARD_OBSTACLE_H
#define MAILWARD_OBSTACLE_H

#include <stdbool.h>
#include <stddef.h>

enum obstacle {
	OBSTACLE_NONE = 0,
	OBSTACLE_NO_BPF,     /* the kernel has no bpf(2) */
	OBSTACLE_NO_BTF,     /* it does not describe its own types */
	OBSTACLE_NOT_BUILT,  /* it has no BPF LSM */
	OBSTACLE_NOT_ACTIVE, /* it has, but its hooks are never called: bpf is not in lsm= */
	OBSTACLE_RIGHTS,     /* we were not given CAP_BPF and CAP_PERFMON */
	OBSTACLE_LOCKDOWN,   /* lockdown=confidentiality */
	OBSTACLE_REFUSED,    /* we have the rights, and it says EPERM all the same: a container, a sandbox */
	OBSTACLE_NO_PINS,    /* nothing can be pinned: no bpf file system */
	OBSTACLE_BUSY,       /* another daemon of this host uses the pins */
	OBSTACLE_PROGRAM,    /* one of the programs does not load or attach: a mistake of ours, or an unknown kernel */
	OBSTACLES
};

/* What is known about the case; texts may be empty, never NULL. */
struct obstacle_facts {
	int error;           /* -errno, 0: none */
	const char *modules; /* /sys/kernel/security/lsm: "lockdown,capability,yama"; empty: could not be read */
	const char *release; /* of the kernel */
	const char *said;    /* by the kernel or the loader about OBSTACLE_PROGRAM and OBSTACLE_NO_PINS */
};

/* One sentence each, without a full stop. remedy is empty where there is nothing to do. */
void obstacle_text(enum obstacle obstacle, const struct obstacle_facts *facts, char *why, size_t why_size, char *remedy,
		   size_t remedy_size);

/* Is name in the list ("lockdown,capability,bpf", perhaps with a newline)? */
bool modules_have(const char *modules, const char *name);

#endif
