/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is said to a clamd that runs on the host, over its UNIX socket (clamd(8): zVERSION, zFILDES with a descriptor),
 * and what its answers mean. One question for each connection; ours is shut for writing once it has been put, so that
 * nobody can ask another one on it.
 */
#ifndef MAILWARD_CLAMD_H
#define MAILWARD_CLAMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "verdict.h"

#define CLAMD_ANSWER_SIZE 1024 /* longer ones are no answer */

enum clamd_question { CLAMD_VERSION = 0, CLAMD_SCAN, CLAMD_RELOAD, CLAMD_STATS, CLAMD_QUESTIONS };

/* Connects to the socket at path, puts the question, and shuts the connection for writing. fd (borrowed): the file to
 * be scanned, for CLAMD_SCAN alone. Never waits. The connection, non-blocking, or -errno: -EAGAIN where clamd takes no
 * more connections. */
int clamd_ask(const char *path, enum clamd_question question, int fd);

/* Who listens at the other end; 0: not to be seen from here. */
pid_t clamd_pid(int conn);

enum clamd_answer {
	CLAMD_OK = 0,   /* it says that there is nothing in it: see clamd_link.h for what that is worth */
	CLAMD_FOUND,    /* name_out */
	CLAMD_ERROR,    /* it says that it could not: name_out has its words */
	CLAMD_NO_ANSWER /* what no clamd says, or not all of it */
};
/* The answer to a file: all that came until the connection's end or a zero byte, which is required. */
enum clamd_answer clamd_answer_read(const char *answer, size_t size, char name_out[SIGNATURE_SIZE]);

/* The answer to the other question, "ClamAV 1.4.6/27500/Sat Nov 21 08:00:00 2026": without its zero byte, checked to be
 * printable. built_ns_out: CLOCK_REALTIME of the date in it, 0: there is none (no official database is loaded). */
bool clamd_version_read(const char *answer, size_t size, char version_out[128], uint64_t *built_ns_out);

/* Is what it says of its state (STATS) that of a clamd that holds one set of signatures in memory? While it loads the
 * new ones beside the old it holds two. */
bool clamd_holds_one(const char *answer, size_t size);

/* Two mails, both harmless: one has nothing in it; the other an archive within archives, deeper than clamd can be told
 * to look. A clamd with AlertExceedsMax, ScanMail and ScanArchive says Heuristics.Limits.Exceeded of it, with whatever
 * signatures; one without says OK, as it does of all that is beyond its limits. Returns a new memfd, or -1. */
int clamd_harmless_mail(void);
int clamd_deep_mail(void);

#endif
