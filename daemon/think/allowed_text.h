/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allow list as the steward keeps it in its folder: lines of words, the last of which counts the entries and sums
 * up all bytes before it. Whatever is not exactly what was written is no list at all. No system calls, no globals.
 *
 *   mailward-allowed 1
 *   next 4
 *   entry 3 signature UNTIL ADDED UID NAME-IN-HEX REASON-IN-HEX
 *   entry 1 sha256 UNTIL ADDED UID DIGEST REASON-IN-HEX
 *   end 2 SUM
 */
#ifndef MAILWARD_ALLOWED_TEXT_H
#define MAILWARD_ALLOWED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allowed.h"

#define ALLOWED_TEXT_MAX (1u << 19) /* bytes: more than a full list makes */

struct allowed_list {
	uint32_t next; /* id of the next entry */
	uint32_t count;
	struct allowed_record records[ALLOWED_MAX];
};

/* Writes it; returns the length, 0: no room. */
size_t allowed_print(const struct allowed_list *list, char *out, size_t size);
/* Reads it. false: why_out says what is wrong, with the line; the list is empty then. */
bool allowed_parse(const char *text, size_t size, struct allowed_list *list_out, char *why_out, size_t why_size);

#endif
