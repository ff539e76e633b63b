/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loader's side of a clamd whose signatures are used. Every two seconds it is asked for its version, which names
 * the official database that is loaded; when that has changed,
 * or another process listens there, and every minute, it must prove that what it calls clean
 * has been looked at (clamd_deep_mail()). Nothing here waits.
 *
 * Nothing more is asked of it. What is encrypted, of an unknown kind, beyond our own limits or made the engine complain
 * is judged by the worker's own libclamav, which has no signatures but the canary; so AlertEncrypted is not needed.
 */
#ifndef MAILWARD_CLAMD_LINK_H
#define MAILWARD_CLAMD_LINK_H

#include "clamd.h"
#include "loop.h"

enum clamd_step {
	CLAMD_IDLE = 0,
	CLAMD_ASKED_VERSION,
	CLAMD_ASKED_HARMLESS,
	CLAMD_ASKED_DEEP,
	CLAMD_ASKED_RELOAD,
	CLAMD_ASKED_STATS
};
enum clamd_state {
	CLAMD_UNKNOWN = 0, /* the first round is not over */
	CLAMD_PROVED,
	CLAMD_UNPROVED, /* its findings count, its OK does not */
	CLAMD_LYING,    /* it finds something in a harmless mail: nothing that it says counts */
	CLAMD_GONE      /* it does not answer */
};

struct clamd_link {
	const char *path; /* borrowed */
	struct loop *loop;
	struct loop_handler handler;
	enum clamd_step step;
	enum clamd_state state;
	char version[128];  /* of the latest round that was over; empty: there has been none */
	uint64_t built_ns;  /* of its official database; 0: not known */
	char why[192];      /* the state is not PROVED: why */
	bool reload;        /* it is to load its signatures anew, the caller says; false again when it has */
	unsigned reloads;   /* how often it has */
	uint64_t reload_ns; /* since when it is at it; 0: it is not */
	/* of the round that is going on */
	uint64_t asked_ns, round_ns, proved_ns;
	pid_t asked, proved; /* who listens: at the question that is going on; where the proof was made */
	char next_version[128];
	uint64_t next_built_ns;
	char answer[CLAMD_ANSWER_SIZE + 1];
	size_t answer_size;
};

void clamd_link_open(struct clamd_link *link, struct loop *loop, const char *path);
void clamd_link_turn(struct clamd_link *link); /* call it often: begins rounds, ends what takes too long */

/* Puts a worker's file to it. The connection to read the answer from, or -1. why: empty, or why the answer, if there
 * is one, does not count as clean. */
int clamd_link_ask(const struct clamd_link *link, int fd, char *why, size_t why_size);

#endif
