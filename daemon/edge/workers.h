/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate's side of the scanner: sockets to the loader, the workers and the hasher. All that comes back is checked as
 * hostile; whoever sends something wrong loses its socket and is killed by the loader, and its case comes back as lost.
 *
 * Edges are pulled: the loop notes who is readable, workers_next() says what happened.
 */
#ifndef MAILWARD_WORKERS_H
#define MAILWARD_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "wire.h"

#define WORKERS_MAX 64
#define HASHES_MAX 32 /* asked of the hasher at one time */

enum workers_event_kind {
	WORKERS_NOTHING,
	WORKERS_VERDICT,     /* reply: checked; case_id; worker */
	WORKERS_LOST,        /* a worker ended or was dropped over case_id; worker; lied: it had sent something wrong */
	WORKERS_DIGEST,      /* case_id; has_digest, digest */
	WORKERS_DEFINITIONS, /* definitions, signatures (0: none) */
	WORKERS_LOADER_GONE, /* or dropped, where it lied; what its workers had comes as WORKERS_LOST */
};
struct workers_event {
	enum workers_event_kind kind;
	uint64_t case_id;
	uint64_t worker; /* never the same for two in one run of the gate; not 0 */
	bool lied;
	bool has_digest;
	uint64_t definitions, signatures;
	uint8_t levels; /* WORKERS_DEFINITIONS: enum judgement */
	uint8_t digest[32];
	struct scan_reply reply;
};

struct workers;
int workers_open(struct workers **workers_out, struct loop *loop); /* 0 or -ENOMEM */
/* A new socket to the loader (taken over); the old one and all workers are dropped. */
void workers_loader(struct workers *workers, int sock);

/* May a scan begin? For `background` work, for which nobody waits, all workers but one and all processors but one, and
 * one of each where there is no other: whoever comes then waits for the rest of one scan, and is next. */
bool workers_idle(const struct workers *workers, bool background);
/* The hasher is there, and has all that it takes at one time. */
bool workers_hasher_full(const struct workers *workers);
bool workers_hasher_busy(const struct workers *workers); /* it has something to do */
/* Sends a case to an idle worker or the hasher; fd is borrowed. false: could not, somebody else must. */
bool workers_scan(struct workers *workers, uint64_t case_id, enum framing framing, int fd, bool background,
		  uint64_t now);
bool workers_hash(struct workers *workers, uint64_t case_id, int fd, bool background, uint64_t now);

/* From now on `background` work is done at idle priority (SCHED_IDLE, the disk's idle class), for a quarter of the time
 * that it may take; uid: the workers' own, proc_fd: directory /proc. Needs CAP_SYS_NICE; without it all is done at the
 * same priority. */
void workers_are(struct workers *workers, int proc_fd, uint32_t uid);
/* The cases at which somebody is with idle priority: *at begins with 0; 0: no more. */
uint64_t workers_idling(const struct workers *workers, unsigned *at);
/* Whoever is at this case goes on at the priority of all others. */
void workers_hurry(struct workers *workers, uint64_t case_id);

/* Call until WORKERS_NOTHING after each turn of the loop. scan_limit_ns, hash_limit_ns: who has been at one for longer
 * is killed, and the case comes as lost (timed_out_out is set to true for a scan). */
bool workers_next(struct workers *workers, uint64_t now, uint64_t scan_limit_ns, uint64_t hash_limit_ns,
		  struct workers_event *event_out, bool *timed_out_out);

#endif
