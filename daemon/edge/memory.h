/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known of a descriptor's file, without BPF: its generation, read from the descriptor, and a bounded memory of
 * verdicts keyed by it. In full mode kernel_memory.h answers the same questions; knowing_look() puts the two together.
 *
 * A verdict that is not there, is of another generation, or was made with other definitions is unknown, never clean.
 */
#ifndef MAILWARD_MEMORY_H
#define MAILWARD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attachment.h"
#include "kept.h"
#include "wire.h"

/* What a descriptor shows of its file at this moment. */
struct sight {
	struct generation generation;
	uint32_t links;
	uint64_t mount_id;  /* statx(2) STATX_MNT_ID, kernel 5.8 */
	int64_t changed_ns; /* the change time, CLOCK_REALTIME; a new name changes it, too */
	bool regular;
	bool settled; /* the change time lies before the clock's last tick: a later change must show in it */
	bool certain; /* the file system gives handles, so that the file can be told for sure */
};

/* 0 or -errno. Works for O_PATH descriptors too. No event, no content, no path. */
int memory_look(int fd, struct sight *sight_out);

/* How long (ns) until a file of this sight would be settled; 0: it is, or waiting is of no use (a time in the future).
 */
uint64_t memory_unsettled_ns(const struct sight *sight);

/* Nobody has the file open for writing or mapped writable, just now: a read lease taken and given back (fcntl(2)
 * F_SETLEASE). false where that can't be told. Needs CAP_LEASE; SIGIO must be ignored. */
bool memory_no_writer(int fd);

/* What was found out about one generation. */
struct finding {
	struct verdict verdict;
	uint64_t definitions;
	uint64_t judged_ns; /* CLOCK_REALTIME */
	uint64_t worker;    /* who said so, see memory_withdraw() */
	char detail[160];
	char queue_id[32];
	char message_id[256];
	uint64_t allowances; /* identity of the allow list that it was judged with (allowances.h) */
	uint32_t allowed;    /* the entry of it that lets this go: its signature (the verdict is without it), or its
				content (the verdict stays what it was); 0: none */
	uint32_t unused;
};

/* Where it lies, kept beside the verdict so that it need not be found out at each open. */
struct place {
	uint32_t watch;
	bool unheld; /* a control file, or a watch that is off */
};

struct memory;
/*
 * 0 or -errno; all of it is taken now. fd: a memfd of memory_size() bytes, so that a gate that comes after this one
 * finds what it knew (an entry in the middle of whose writing it ended is not taken); -1: it is this process's alone.
 */
int memory_open(struct memory **memory_out, int fd);
size_t memory_size(void);
/* To be read alone, while another process has it open. NULL: nobody has opened it yet, or it is none. */
const struct memory *memory_view(int fd);
void memory_close(struct memory **memory);

/* Does this verdict lie in the content itself, so that it stays right as long as the content does? Else it lay in the
 * moment: tried again after a while, or not kept at all. */
bool memory_lasts(const struct verdict *verdict);

/* Is there a current verdict (these definitions, not past its time: unscanned ones of a passing kind last 10 s to 60
 * s)? The finding is borrowed until the next call here. NULL: unknown. */
const struct finding *memory_known(struct memory *memory, const struct generation *generation, uint64_t definitions,
				   uint64_t now);
/* Was this generation clean with whatever definitions it was judged last? As memory_known(). */
const struct finding *memory_known_clean(struct memory *memory, const struct generation *generation, uint64_t now);
/* Keeps it. digest: SHA-256 of the content, or NULL. now: CLOCK_MONOTONIC. */
void memory_keep(struct memory *memory, const struct generation *generation, const struct finding *finding,
		 const uint8_t digest[32], uint64_t now);
/* The digest of this generation, where one is kept. */
bool memory_digest(struct memory *memory, const struct generation *generation, uint8_t digest_out[32]);
/* The same file was judged before, as another generation (a rename changes the change time, too), and its content had
 * this digest: that finding still holds. Borrowed; NULL: unknown. */
const struct finding *memory_same_content(struct memory *memory, const struct generation *file,
					  const uint8_t digest[32], uint64_t definitions, uint64_t now);
/* The place found out for this file, unchanged in content and name since, under this epoch (the caller counts it up
 * when a folder moved or the policy changed). */
bool memory_place(struct memory *memory, const struct sight *sight, uint64_t epoch, struct place *place_out);
void memory_keep_place(struct memory *memory, const struct sight *sight, uint64_t epoch, const struct place *place);
/* News of a file (its handle alone will do): it has another name, or its content may have changed. */
void memory_moved(struct memory *memory, const struct generation *file);
void memory_changed(struct memory *memory, const struct generation *file);
void memory_changed_all(struct memory *memory);
/* A worker turned out to lie or crashed: what it said so far is unknown again. each: called for every file that this
 * concerns. */
void memory_withdraw(struct memory *memory, uint64_t worker, void (*each)(void *owner, const struct generation *file),
		     void *owner);

/* ---- what outlives the daemon: by the keeper before there is a gate, by the steward while there is one ---- */

/* A verdict of before the start: it counts again where the hasher finds this digest in the file. */
void memory_restore(struct memory *memory, const struct kept_verdict *kept);
/* The next verdict at or behind *at (begins with 0) that lies in a content whose digest is known. false: no more. While
 * somebody else writes: an entry that changes under our eyes is left out. */
bool memory_kept_next(const struct memory *memory, uint32_t *at, struct kept_verdict *kept_out);
uint64_t memory_changes(const struct memory *memory);     /* counts up with each verdict that is kept */
uint64_t memory_withdrawals(const struct memory *memory); /* counts up when kept verdicts became void */

#endif
