/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that hands mails to the local sendmail: a child of its own, forked before rights are dropped, because a
 * sendmail may be setgid, which no_new_privs forbids for good. It runs as _mailward without a capability, holds nothing
 * but its socket (by which it sees its parent end: without CAP_KILL no signal reaches it), has names of users looked up
 * (getpwuid(3) may take long: five seconds), and gives each sendmail a minute. Nobody waits for it.
 *
 * In full mode it and the sendmail that it starts are labelled as our own.
 */
#ifndef MAILWARD_MAILER_H
#define MAILWARD_MAILER_H

#include <stdint.h>

struct mailer_job {
	uint64_t id;
	uint32_t uid; /* the recipient is the user with this number; UINT32_MAX: it is `recipient` */
	uint32_t unused;
	char recipient[256];
	char command[1024];
};

/* code 0: the mail was taken. -ENOENT: there is no such user; -EINVAL: no mail can go to one of this name. Else why
 * says what went wrong, printable. */
struct mailer_result {
	uint64_t id;
	int32_t code;
	uint32_t unused;
	char why[200];
};

/* Forks it. Its socket, or -errno. fallback_uid: where there is no user _mailward. */
int mailer_start(uint32_t fallback_uid);
/* mail: a memfd with the mail, all but its To:; borrowed. 0 or -errno. One job at a time is the caller's to see to. */
int mailer_send(int sock, const struct mailer_job *job, int mail);
/* 0 and *result_out; -EAGAIN: none yet; else it is gone. */
int mailer_take(int sock, struct mailer_result *result_out);

#endif
