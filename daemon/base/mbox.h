/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The messages of an mbox file (RFC 4155, as Postfix and Dovecot write it): each begins with a line "From SENDER DATE",
 * at the beginning of the file or behind an empty line; in a message such a line is escaped with '>' by who wrote it.
 * Hostile. Used by the scanner (which message is infected?) and by the tool (take that one out).
 */
#ifndef MAILWARD_MBOX_H
#define MAILWARD_MBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MBOX_LINE 256 /* as much of a line is looked at */

struct mbox {
	int fd;           /* borrowed; read by pread(2) */
	bool io;          /* it could not be read; nothing more comes out of it */
	uint64_t at;      /* where the next line begins */
	uint64_t begun;   /* the From line of the message that comes next; UINT64_MAX: none */
	uint64_t message; /* where that message begins, behind its From line */
	size_t held;
	uint64_t held_from;
	unsigned char bytes[65536];
};

struct mbox_message {
	uint64_t from;  /* offset of its From line */
	uint64_t start; /* of the message itself */
	uint64_t end;   /* of the next one's From line, or of the file; the empty line between the two is within */
};

/* false: it does not begin as an mbox does, or is empty. */
bool mbox_open(struct mbox *mbox, int fd);
/* false: no more, or mbox->io. */
bool mbox_next(struct mbox *mbox, struct mbox_message *message_out);

/* Is this the beginning of a From line? Not terminated by zero. */
bool mbox_is_from(const char *line, size_t size);

#endif
