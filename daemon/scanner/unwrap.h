/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Takes the record framing of a Postfix queue file off, since libclamav does not see through it. A record is a type
 * byte, a length in groups of 7 bits (low first, the top bit says that another follows) and data; the message is what
 * the records N (a line) and L (a piece of one) between M and X hold. A p record is a jump, left by a milter's change;
 * w is text that was taken out. (Postfix rec_type.h, record.c; the same bytes as postcat -bh prints.)
 */
#ifndef MAILWARD_UNWRAP_H
#define MAILWARD_UNWRAP_H

#include <stdint.h>

enum unwrap_end {
	UNWRAP_DONE = 0,
	UNWRAP_NO_QUEUE_FILE, /* it does not begin with a size record; nothing was written */
	UNWRAP_DAMAGED,       /* it ends before the message does, holds another record there, or jumps in circles */
	UNWRAP_TOO_LARGE,     /* more than `limit` bytes would come out */
	UNWRAP_IO             /* errno says what could not be read or written */
};

/* Reads `in` by pread(2) from its beginning, appends the message to `out`. Both borrowed. */
enum unwrap_end unwrap_postfix(int in, int out, uint64_t limit);

#endif
