/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What libclamav leaves out of a zip without a word. Programs go by the list at its end, libclamav by the header before
 * each member; where the two contradict each other it skips the member and calls the archive clean (seen with 1.4.6).
 * Pure; the archive is hostile. Source: APPNOTE 6.3.
 */
#ifndef MAILWARD_ZIPS_H
#define MAILWARD_ZIPS_H

#include <stdbool.h>
#include <stddef.h>

/* What in it cannot be opened, or NULL. packed_alone: only how members are packed counts; for a program that may hold a
 * zip somewhere. */
const char *zip_unsupported(const unsigned char *bytes, size_t size, bool packed_alone);

/* Does it end as a zip does, and is there the list of one somewhere near its end? */
bool zip_ends(const unsigned char *bytes, size_t size);
bool zip_lists(const unsigned char *bytes, size_t size);

#endif
