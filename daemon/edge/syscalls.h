/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls that a process of mailwardd still has. Any other one ends it (SCMP_ACT_KILL_PROCESS): a gate that
 * makes a call it can't need is no longer ours. For the calling thread and those that it starts. sanitized: what
 * AddressSanitizer and UBSan take is allowed as well.
 *
 * 0 or -errno. Needs no_new_privs or CAP_SYS_ADMIN.
 */
#ifndef MAILWARD_SYSCALLS_H
#define MAILWARD_SYSCALLS_H

#include <stdbool.h>

int syscalls_gate(bool sanitized);
int syscalls_recorder(bool sanitized);
int syscalls_steward(bool sanitized);

#endif
