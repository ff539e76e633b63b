/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The names that a message gives its attachments: parameters of Content-Type and Content-Disposition (RFC 2183, folded,
 * in pieces and in percent signs of RFC 2231, in the encoded words of RFC 2047 where mail programs take them), and the
 * names of uuencode and yEnc. Follows no structure but boundaries, so that a part whose nesting is broken is read as
 * well as any. Pure; the message is hostile.
 */
#ifndef MAILWARD_MIME_H
#define MAILWARD_MIME_H

#include <stdbool.h>
#include <stddef.h>

#define MIME_NAME_SIZE 1024 /* a longer name keeps its end */

/* Could it be a message, or a file of several? By its first line. */
bool mime_looks_so(const char *text, size_t size);

/* Each name, decoded: any bytes, not zero-terminated, borrowed for the call. */
void mime_names(const char *text, size_t size, void (*each)(void *owner, const char *name, size_t length), void *owner);

#endif
