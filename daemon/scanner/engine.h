/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libclamav behind a door: engine.c and engine_load.c alone include clamav.h. The loader loads (and never scans: the
 * state of a scan would be the same in all workers); a worker scans what it is given by descriptor, never by path.
 */
#ifndef MAILWARD_ENGINE_H
#define MAILWARD_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "definitions.h"
#include "judge.h"
#include "wire.h"

struct engine; /* signatures, limits, and a random canary signature of its own */

/* Once, before anything else: libclamav, its messages, and glibc's charset modules, which no worker could load. 0, or
 * -EIO with why on the log's standard error. */
int engine_start(void);
const char *engine_version(void); /* of libclamav */
bool engine_opens_rar(void);

struct engine_report {
	struct definitions definitions;
	uint64_t signatures; /* the canary not counted */
	uint64_t built_ns;   /* CLOCK_REALTIME, the latest making that a signed database names; 0: there is none */
	char text[256];      /* version; after a failure one sentence why */
};

/* Loads and compiles everything in definitions_fd; writes the canary signature into own_dir for a moment. alive() is
 * called often while it lasts. NULL: report->text says why, report->definitions what was tried (0 files: there is
 * nothing to load). libclamav verifies the signature of each .cvd before it takes anything from it. */
struct engine *engine_load(const struct scanner_settings *settings, int definitions_fd, int own_dir,
			   void (*alive)(void *owner), void *owner, struct engine_report *report);
/* One without signatures but the canary: everything else is judged by it (limits, kinds, encryption), and whose the
 * signatures are is not its business. NULL: report->text says why. */
struct engine *engine_load_bare(const struct scanner_settings *settings, int own_dir, struct engine_report *report);
void engine_free(struct engine *engine);

/* In a worker, inside the box, once: files are unpacked in "/", randomness is its own. */
void engine_settle(struct engine *engine);

/* How long the next scan may take. */
void engine_time(struct engine *engine, uint64_t ms);

/* Scans the whole of fd and adds to findings, which the caller zeroed. */
void engine_scan(struct engine *engine, int fd, struct findings *findings);

/* The canary's CANARY_BYTES; *shallow: the limits do not let the engine look into a mail. */
const unsigned char *engine_canary_bytes(const struct engine *engine, bool *shallow);

#endif
