/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of users. getpwuid_r(3) may hang for ever (LDAP, a dead name server), loads libraries and does whatever they
 * like, so a process of its own asks, outside the seccomp filter of its parent and with no more than its uid. Nobody
 * waits for it: a name that has not come within a second is left empty. Names are kept for ten minutes.
 */
#ifndef MAILWARD_USERS_H
#define MAILWARD_USERS_H

#include <stdbool.h>
#include <stdint.h>

#define USER_SIZE 64

/* Forks the process that asks; it ends with this one. Call it once, with one thread, before rights are dropped. A
 * descriptor that becomes readable when names have come, or -errno: then every name is empty. */
int users_start(void);

/* Takes the names that have come. False: that process has ended, close the descriptor; names are empty from now on. */
bool users_take(uint64_t now_ns);

/* Copies the name of uid, or "" where there is none (any more to come). False: not known yet, ask again later.
 * now_ns: CLOCK_MONOTONIC. */
bool users_name(uint32_t uid, uint64_t now_ns, char name_out[USER_SIZE]);

#endif
