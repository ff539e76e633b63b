/* SPDX-License-Identifier: GPL-2.0-only */
/* Proof that a worker sees: random bytes that this loader alone has a signature for (engine_load.c adds it). */
#ifndef MAILWARD_CANARY_H
#define MAILWARD_CANARY_H

#include "wire.h" /* CANARY_NAME */

#include "engine.h"
#include "verdict.h"

#define CANARY_BYTES 40

/* Inside the box: a mail that holds the canary, and one that does not, through the whole engine and the worker's file
 * system. NULL: the first was found, the second was clean; else what is wrong. */
const char *canary_check(struct engine *engine);

#endif
