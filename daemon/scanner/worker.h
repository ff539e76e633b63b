/* SPDX-License-Identifier: GPL-2.0-only */
/* One worker: enters the box, finds the canary, then scans what the gate sends until it has done WORKER_CASES, found
 * something, or heard the engine complain. Whatever it parsed may own it, so it has nothing, and does not last. */
#ifndef MAILWARD_WORKER_H
#define MAILWARD_WORKER_H

#include <stdint.h>

#include "box.h"
#include "engine.h"
#include "wire.h"

#define WORKER_CASES 50

#define CHILD_TEXT 160

/* From a fresh child to the loader, once: it may serve, or why not. Anything that comes back the other way, or the end
 * of the socket, means: take no more cases, end what the gate has already sent, and go. */
struct child_report {
	uint32_t ready;
	uint32_t number; /* enum child_word: of the question, from 1 on, and of the answer to it; else 0 */
	char text[CHILD_TEXT];
};

/* `ready` as a word between a worker that serves and the loader, where the signatures are clamd's (ENGINE_CLAMD). */
enum child_word {
	CHILD_WORD_ASK = 2, /* worker to loader; fd: a file of its own, to be put to clamd */
	CHILD_WORD_ANSWER   /* loader to worker, the answer to that; fd: the connection on which clamd answers, or none;
			       text:   empty, or why what clamd says there does not count as clean */
};

/* How a child ends; numbers from 64 on are enum box_layer. */
enum child_exit {
	CHILD_ENDED = 0,     /* in order: its cases are done, the gate has closed, a finding, a message */
	CHILD_BAD_FRAME = 1, /* the gate sent what no gate sends */
	CHILD_CANARY = 2     /* it does not find what it must */
};

/* Both: box->keep[0] is the socket to the gate, box->keep[1] the one for the report. They never return. */
_Noreturn void worker_run(const struct box *box, struct engine *engine, const struct scanner_settings *settings);
_Noreturn void hasher_run(const struct box *box, const struct scanner_settings *settings);

/* The common beginning: into the box, or out with the layer as exit code. */
void child_enter(const struct box *box);
void child_report(bool ready, const char *text); /* tells the loader */
/* Waits for one frame of the gate, or ends the process. Returns whether the loader wants it to be the last. */
bool child_receive(void *frame, size_t size, int *fd);

/* Puts a file to clamd, in a worker. The connection, or -1; text: as in CHILD_WORD_ANSWER. until_ns: CLOCK_MONOTONIC.
 */
int child_clamd(int fd, uint64_t until_ns, char text[CHILD_TEXT]);

#define CHILD_GATE BOX_FIRST_FD
#define CHILD_LOADER (BOX_FIRST_FD + 1)

#endif
