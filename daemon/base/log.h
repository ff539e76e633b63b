/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One line to standard error, which the service manager or a person reads. Never waits: a line that does not fit in
 * now is dropped and counted, and the count stands before the next line that does. Control characters and bytes that
 * are not UTF-8 are written as \xNN, so nobody's text can forge a line. The gate and the keeper's children that must
 * not touch descriptor 2 send LEASH_LOG instead.
 */
#ifndef MAILWARD_LOG_H
#define MAILWARD_LOG_H

#include <stddef.h>

void log_open(const char *process); /* the name that stands before each line; borrowed */
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

/* Writes text as printable UTF-8 into out (size > 4, always terminated): control characters, backslashes and bytes
 * that are not valid UTF-8 become \xNN. Returns the length; what does not fit is cut at a whole escape. */
size_t text_quote(char *out, size_t size, const char *text, size_t length);

#endif
