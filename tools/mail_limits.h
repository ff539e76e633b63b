/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the mail software takes, against what the scanner takes: a message that may arrive, and is then unscanned
 * (too-large), is worth a warning before it does. `check` and `status` ask postconf and doveconf themselves: no process
 * of the daemon runs another program.
 */
#ifndef MAILWARD_MAIL_LIMITS_H
#define MAILWARD_MAIL_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum limit_state {
	LIMIT_NOT_HERE = 0, /* the software is not installed */
	LIMIT_NOT_TOLD,     /* it does not say, or nothing that is a number */
	LIMIT_KNOWN
};

struct limit {
	enum limit_state state;
	uint64_t bytes; /* 0: no limit */
};

struct mail_limits {
	struct limit message;         /* Postfix message_size_limit */
	struct limit mailbox;         /* Postfix mailbox_size_limit: a file of local(8) */
	struct limit virtual_mailbox; /* Postfix virtual_mailbox_limit: a file of virtual(8) */
	struct limit append;          /* Dovecot quota_max_mail_size: what IMAP APPEND and LMTP take */
	struct limit rotate;          /* Dovecot mdbox_rotate_size: an m.N ends beyond it */
};

struct scanner_limits {
	uint64_t max_file_size, max_scan_size; /* bytes */
	bool mbox, mdbox;                      /* a watch of that store is not off */
};

/* Asks. patience_ms: of each of the two. Where Postfix has no main.cf and quick is set, postconf (which then sleeps) is
 * not asked at all. */
void limits_read(struct mail_limits *limits_out, unsigned patience_ms, bool quick);

/* Calls `say` for each that is too high: what, with the numbers, and the remedy, which are whole sentences without a
 * full stop, borrowed. No system calls. */
void limits_compare(const struct mail_limits *limits, const struct scanner_limits *scanner,
		    void (*say)(void *owner, const char *what, const char *remedy), void *owner);

/* A whole number of bytes on a line, or Dovecot's "10 M"; "0", "" and "unlimited" are no limit. Not terminated by zero.
 */
struct limit limit_from(const char *text, size_t size);

#endif
