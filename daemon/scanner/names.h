/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the name of an attachment, or of an archive's member, says that it is. Pure; the name is any bytes, as a rule
 * UTF-8.
 */
#ifndef MAILWARD_NAMES_H
#define MAILWARD_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct name_claim {
	unsigned types; /* bits 1 << enum deny_type (wire.h); by the last ending, as Windows sees it */
	bool doubled;   /* a document's ending before that one: invoice.pdf.exe */
	bool hidden;    /* characters turn its direction round, or blanks push the ending out of sight */
};

/* `name` may hold folders, whose names do not count; a folder's own name (a slash at its end) claims nothing. */
struct name_claim name_claims(const char *name, size_t size);

#endif
