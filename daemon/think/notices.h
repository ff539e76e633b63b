/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is told of a file that was moved away, denied or reported, and the mail that tells it: a digest, plain text.
 * Names of files and ids are hostile: they forge no header, no line and no other character set. Nothing of the mail
 * itself is in it but its ids. No system calls, no globals; times are CLOCK_REALTIME unless said.
 */
#ifndef MAILWARD_NOTICES_H
#define MAILWARD_NOTICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdict.h"

#define NOTICES_MAX 1000    /* that wait to be told */
#define NOTICES_IN_MAIL 200 /* the rest of them is counted in it */
#define NOTICE_MAIL_MAX (1u << 20)
#define NOTICE_NOBODY UINT32_MAX

enum notice_action { NOTICE_QUARANTINED = 1, NOTICE_DENIED, NOTICE_REPORTED, NOTICE_ACTIONS };

struct notice {
	uint64_t time_ns;
	uint64_t key;       /* of what it tells: the same again is not told again */
	uint32_t owner;     /* uid of the mailbox's owner where he is to be told; NOTICE_NOBODY */
	uint8_t action;     /* enum notice_action */
	uint8_t postmaster; /* 1: the postmaster is still to be told */
	uint8_t has_digest;
	uint8_t unused;
	struct verdict verdict;
	uint8_t digest[32];
	uint32_t path_size; /* bytes of path */
	uint32_t unused_too;
	char watch[256]; /* zero-terminated, as all but path; cut where longer */
	char path[1024];
	char id[32]; /* in the quarantine */
	char queue_id[32];
	char message_id[256];
};

/* Is this memory, from a file, a notice that can be used? */
bool notice_is_sound(const struct notice *notice);

struct notice_head {
	const char *host; /* name of this host; any bytes */
	const char *from; /* address, without a domain where it has none */
	uint64_t now_ns;
	uint64_t serial, random; /* of the Message-ID */
	uint32_t more;           /* others there was no room for */
	bool to_owner;           /* it goes to an owner: he cannot release */
};
/* The mail, without To:, which stands before it. Same contents are told as one. Returns its length, 0: no room. */
size_t notices_compose(const struct notice_head *head, const struct notice *const *notices, uint32_t count, char *out,
		       size_t size);

/* When a mail is due: `every` after the last one to the same (0: none yet), but what comes after a silence need not
 * wait longer than a minute. CLOCK_MONOTONIC, all of them. */
uint64_t notices_due(uint64_t first_ns, uint64_t last_sent_ns, uint64_t every_ns);
/* After the n-th failure in a row: how long until the next try. */
uint64_t notices_pause_ns(uint32_t failures);
/* It fails since then: is it time that status says so? */
bool notices_overdue(uint64_t failing_since_ns, uint64_t now_ns);

#endif
