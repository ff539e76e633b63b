/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of users. getpwuid_r(3) may hang for ever (LDAP, a dead name server), so a thread of its own asks, and nobody
 * waits for it: a name that has not come within a second is left empty. Names are kept for ten minutes.
 */
#ifndef MAILWARD_USERS_H
#define MAILWARD_USERS_H

#include <stdbool.h>
#include <stdint.h>

#define USER_SIZE 64

/* Starts the thread; call after rights were dropped. A descriptor that becomes readable when a name has come (the
 * caller reads it empty, 8 bytes), or -errno: then every name is empty. */
int users_start(void);

/* Copies the name of uid, or "" where there is none (any more to come). False: not known yet, ask again later.
 * now_ns: CLOCK_MONOTONIC. */
bool users_name(uint32_t uid, uint64_t now_ns, char name_out[USER_SIZE]);

#endif
