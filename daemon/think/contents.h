/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Contents that are known to be clean, by SHA-256 and definitions, wherever they lie. Only complete clean verdicts come
 * in here, and a content counts only after two different workers said so: a worker that was taken over by one message
 * can lie about its own few cases, but it cannot make the copies of them pass as well.
 */
#ifndef MAILWARD_CONTENTS_H
#define MAILWARD_CONTENTS_H

#include <stdbool.h>
#include <stdint.h>

struct contents;
int contents_open(struct contents **contents_out); /* 0 or -ENOMEM */
void contents_close(struct contents **contents);

bool contents_clean(struct contents *contents, const uint8_t digest[32], uint64_t definitions);
/* worker: never the same for two workers in one run, not 0. */
void contents_keep(struct contents *contents, const uint8_t digest[32], uint64_t definitions, uint64_t worker);
/* An infection was found in it with these definitions: whoever said clean was wrong. Returns that worker, 0: nobody
 * did. */
uint64_t contents_contradict(struct contents *contents, const uint8_t digest[32], uint64_t definitions);
void contents_withdraw(struct contents *contents, uint64_t worker);

#endif
