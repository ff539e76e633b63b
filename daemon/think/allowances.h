/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allow list (include/allowed.h): what is on it now, and what a scan says without the names that are allowed. No
 * system calls, no globals; time is a parameter (CLOCK_REALTIME).
 */
#ifndef MAILWARD_ALLOWANCES_H
#define MAILWARD_ALLOWANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allowed.h"
#include "wire.h"

/* Can this memory be used without further checks? */
bool allowed_is_sound(const struct allowed_table *table);
bool allowed_entry_is_sound(const struct allowed_entry *entry);
/* A name as verdicts have them: printable ASCII, not empty, no blank at either end, with room for its zero. */
bool allowed_name_is_sound(const char *name);

/* What is allowed at this time, as one number: equal lists have equal ones, whatever their ids and ends. 0: nothing. */
uint64_t allowed_identity(const struct allowed_table *table, uint64_t now);
/* When the next entry ends; 0: none does. */
uint64_t allowed_next_end(const struct allowed_table *table, uint64_t now);

/* The entry for a name, a content, a number; NULL: none, or its time is over. */
const struct allowed_entry *allowed_signature(const struct allowed_table *table, const char *name, uint64_t now);
const struct allowed_entry *allowed_content(const struct allowed_table *table, const uint8_t digest[32], uint64_t now);
const struct allowed_entry *allowed_by_id(const struct allowed_table *table, uint32_t id, uint64_t now);

/* What the reply says once the names that are allowed are taken out. The entry of the first of them, or NULL: nothing
 * was taken out, *verdict_out is the reply's own. Where a worker did not name all that it found, nothing is. */
const struct allowed_entry *allowed_verdict(const struct allowed_table *table, const struct scan_reply *reply,
					    uint64_t now, struct verdict *verdict_out);

/* "allowed: NAME (entry ID)", then what `more` says. */
void allowed_detail(const struct allowed_entry *entry, const char *more, char *out, size_t size);

#endif
