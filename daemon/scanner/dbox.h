/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The messages in a file of Dovecot's dbox formats: u.N of sdbox holds one, m.N of mdbox many. The file begins with a
 * line "2 M1e C5f3a..." (version, size of a message's header in hexadecimal, time); each message has a header that
 * begins with bytes 1 and 2 and says the size in hexadecimal, its bytes as they are stored (compressed, encrypted or
 * not), bytes \n 1 3 \n, and lines of metadata up to an empty one. (Dovecot dbox-file.h, dbox-file.c.) Hostile.
 */
#ifndef MAILWARD_DBOX_H
#define MAILWARD_DBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dbox {
	int fd;            /* borrowed; read by pread(2) */
	uint64_t at, size; /* where the next message begins; of the file */
	uint32_t header;   /* bytes before each message */
	bool damaged, io;  /* nothing more comes out of it */
	size_t held;
	uint64_t held_from;
	unsigned char bytes[8192];
};

enum dbox_end {
	DBOX_MESSAGE = 0, /* there is one; its bytes may be fewer than it says, then the next word is DBOX_DAMAGED */
	DBOX_END,         /* that was all, and nothing is left over */
	DBOX_DAMAGED,     /* not finished, or not what it says; what follows is not known */
	DBOX_IO           /* it could not be read */
};

/* false: it is no dbox file, or an empty one. */
bool dbox_open(struct dbox *dbox, int fd);
/* Where the bytes of the next message lie in the file. */
enum dbox_end dbox_next(struct dbox *dbox, uint64_t *offset, uint64_t *size);

#endif
