/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loader's children: one hasher and, while there are definitions, as many workers as the settings say, each with a
 * socket that goes to the gate once the child has reported that it may serve. A child that ends is replaced: at once
 * where it served, after 100 ms doubling to 5 s where it did not get that far.
 */
#ifndef MAILWARD_NEST_H
#define MAILWARD_NEST_H

#include <sys/types.h>

#include "engine.h"
#include "loop.h"
#include "wire.h"
#include "worker.h"

#define WORKERS_MAX 64
#define CHILDREN_MAX (4 * WORKERS_MAX + 4) /* after new definitions the old workers end their cases */

enum child_state { CHILD_FREE = 0, CHILD_STARTING, CHILD_READY, CHILD_SERVING, CHILD_DYING };
struct child {
	enum child_state state;
	bool is_hasher;
	pid_t pid;
	uint64_t definitions; /* that it was forked with */
	int gate_end;         /* until the gate has it, else -1 */
	int report;           /* socket to the child; -1: closed */
	uint64_t retired_ns;  /* when it was told to take no more cases; 0: it was not */
	struct loop_handler handler;
	struct nest *nest;
};

struct nest {
	struct loop *loop;
	const struct scanner_settings *settings;
	struct engine *engine; /* borrowed; NULL: no workers */
	uint64_t definitions, signatures;
	uint32_t levels; /* enum judgement: who is asked with these definitions */
	uint64_t old_ns; /* when a worker of older definitions was last alive; 0: there has been none */
	bool told;       /* the gate knows the definitions */
	bool known;      /* they are known at all */
	int gate;        /* borrowed socket to the gate; -1: none */
	int null_fd;
	uint64_t again_ns[2]; /* when a worker [0] or hasher [1] may be forked again */
	uint64_t delay_ms[2]; /* the next delay */
	char trouble[2][192]; /* why no worker, no hasher starts; empty: they do */
	struct child children[CHILDREN_MAX];
	/* the loader's */
	void (*serving)(void *owner, unsigned workers);  /* their number has changed */
	void (*troubled)(void *owner, const char *text); /* a new trouble; text may be empty: one is over */
	/* A worker wants fd put to clamd (worker.h); the answer goes to `report`, with the number. Both borrowed. */
	void (*asked)(void *owner, int report, uint32_t number, int fd);
	void (*stranger)(void *owner, pid_t pid, int status); /* a child that is not of the nest has ended */
	void *owner;
};

void nest_open(struct nest *nest);

/* A new gate, or none (-1): all children belonged to the old one and are killed. */
void nest_gate(struct nest *nest, int gate);

/* Other definitions (engine NULL, 0, 0: none). The workers of the old ones go on until the first of the new ones
 * serves; then they take no more cases. The gate hears of the new definitions when the old workers' last word has
 * reached it, so that it never takes an old verdict for a new one. */
void nest_definitions(struct nest *nest, struct engine *engine, uint64_t definitions, uint64_t signatures);

/* Forks what is missing and sends what is ready. Returns how long it may wait for its next turn, in ms. */
int nest_tend(struct nest *nest);

void nest_reap(struct nest *nest);            /* after SIGCHLD */
bool nest_kill(struct nest *nest, pid_t pid); /* false: no child of ours */
void nest_end(struct nest *nest);             /* kills all; waits a second at most */
unsigned nest_serving(const struct nest *nest);
unsigned nest_old(const struct nest *nest); /* workers of definitions that are not in use any more */

#endif
