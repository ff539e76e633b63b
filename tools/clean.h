/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mailward clean: takes one infected message out of a file that holds many, by the mail software's own means where it
 * has any. What is to go is known from the history; that it is still the one is seen in the file. Nothing is removed
 * before the quarantine has it.
 */
#ifndef MAILWARD_CLEAN_H
#define MAILWARD_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"
#include "wire.h"

#define USER_SIZE 256
#define GUID_SIZE 40

/* The message that was found. */
struct infected {
	struct row_frame row; /* as the history tells of it */
	enum store store;     /* STORE_MBOX or STORE_MDBOX */
	char path[4097];      /* of the file; terminated */
	unsigned number;      /* in the file, from 1 */
	uint64_t at;          /* mbox: of its From line; mdbox: of the message */
	int fd;               /* the file, O_RDONLY */
	uint64_t end;         /* mbox: behind it; mdbox: 0, not known */
};

enum route {
	ROUTE_NONE = 0,
	ROUTE_EXPUNGE, /* doveadm expunge, and for mdbox doveadm purge */
	ROUTE_PURGE,   /* it is expunged already, and still in the file: doveadm purge alone */
	ROUTE_REWRITE, /* mbox without Dovecot: under its locks */
};

struct removal {
	enum route route;
	char user[USER_SIZE];    /* of Dovecot */
	char mailbox[GUID_SIZE]; /* its guid */
	uint32_t uid;
	char *content; /* of the message, as it goes to the quarantine; allocated */
	size_t size;
	char text[512]; /* where something failed: a sentence */
};

/* Puts the sentence into removal->text. Returns error, or -EIO where that is 0. */
__attribute__((format(printf, 3, 4))) int clean_failed(struct removal *removal, int error, const char *format, ...);

/* Does this text (a message as a mail client gets it) have the body of the message in the file? Line ends of both kinds
 * are one; nothing is said of the head, in which mbox keeps words of its own. */
bool clean_same_body(const struct infected *infected, const char *text, size_t size);

/* Who in Dovecot has this file, and which of his messages it is. user: NULL: found out by the path and the owner. 0 and
 * *removal_out (ROUTE_EXPUNGE, ROUTE_PURGE); -ENOENT: Dovecot does not serve this file, or is not here; -ESTALE: it
 * serves it, and no message of it is the one; -EMLINK: several are; else -errno and text. */
int clean_find_dovecot(const struct infected *infected, const char *user, struct removal *removal_out);
/* 0, or -errno and text. */
int clean_by_dovecot(const struct infected *infected, struct removal *removal);

/* A plain mbox: its content, in *removal_out. 0 or -errno and text. */
int clean_find_mbox(const struct infected *infected, struct removal *removal_out);
/* Under the locks of local(8) and of everybody else who writes mbox: PATH.lock and fcntl(2). In place, since who waits
 * for the lock has the file open already, and would deliver into what a rename had put away; the file as it was is kept
 * beside it (PATH.mailward-before) until the new content is on the disk. 0, or -errno and text. */
int clean_by_rewrite(const struct infected *infected, struct removal *removal);
/* Where a clean_by_rewrite() was killed: the mbox is made what it was before it (1), or, where it had done all, is left
 * as it is, and the copy goes. 0: none was. yes: false: only says so. -EUCLEAN: not ours to undo; -errno; and text. */
int clean_mend_mbox(const char *path, bool yes, struct removal *removal_out);

#endif
