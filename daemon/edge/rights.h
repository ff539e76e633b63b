/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a process of mailwardd may still do: capabilities (libcap-ng), seccomp (syscalls.c), memory locks. Each call is
 * made once, by the process itself, with one thread, when it holds all the descriptors and memory that it needs.
 * A right that it should have and has not is an error, not a surprise for later.
 *
 * All return 0 or -errno, and then rights_why() is one sentence about it.
 */
#ifndef MAILWARD_RIGHTS_H
#define MAILWARD_RIGHTS_H

/* CAP_KILL, SETUID, SETGID; a bounding set that holds what the others regain when they are executed as root. Memory
 * locked, no core dump, never chosen by the OOM killer. From here on the keeper must not allocate. */
int rights_keeper(void);

/* CAP_SYS_ADMIN, DAC_READ_SEARCH, LEASE, SYS_PTRACE, SYS_NICE if there is one, and nothing else, for good;
 * no_new_privs; an allow-list of system calls (any other one ends the process); memory locked as it stands now, and
 * what comes later too where RLIMIT_MEMLOCK is unlimited; ends when the keeper does. Threads may be started afterwards.
 */
int rights_gate(void);

/* No capability, no_new_privs, an allow-list of what SQLite and sockets need. Expects to run as its own uid already. */
int rights_recorder(void);

/* What moving and restoring files of any owner takes: SYS_ADMIN (attributes trusted.*, which are not even shown
 * without), DAC_OVERRIDE, DAC_READ_SEARCH (file handles), CHOWN, FOWNER; no_new_privs, an allow-list. Ends with the
 * keeper. */
int rights_steward(void);

const char *rights_why(void);

#endif
