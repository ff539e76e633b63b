/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the rooms of the loader share: loader.c (the process: its frames, its children, its loop), loader_definitions.c
 * (which definitions are in use, and why newer ones are not), loader_clamd.c (the same where they are clamd's).
 */
#ifndef MAILWARD_LOADER_STATE_H
#define MAILWARD_LOADER_STATE_H

#include "clamd_link.h"
#include "engine.h"
#include "nest.h"
#include "regions.h"
#include "trial.h"
#include "wire.h"

struct loader {
	struct scanner_settings settings;
	struct loop loop;
	struct loop_handler leash, gate, signals;
	int gate_fd;
	struct nest nest;
	const struct engine *canary_of; /* the engine whose canary the keeper knows */
	uint64_t beat_ns, turn_ns;
	/* loader_definitions.c */
	struct engine *engine, *old;   /* old: not in use any more, freed when no worker has it */
	struct regions lies, old_lies; /* where they lie in memory */
	struct engine_report report;   /* of the engine in use, or why there is none */
	uint64_t tried;                /* identity that was loaded, or failed; 0: the folder was empty or gone */
	uint64_t seen;                 /* at the latest look */
	uint64_t look_ns, rest_ns;     /* of the latest look; the folder has come to rest by then */
	bool looked;
	bool careful; /* the loader before us ended while it loaded: nothing is loaded that was not tried first */
	struct trial trial;
	uint64_t trial_of, proved; /* identity on trial; that loads well, as the latest trial showed */
	char folder[LEASH_TEXT];   /* its path, or empty: then only the descriptor is known */
	uint64_t empty, resident;  /* bytes in memory without an engine; of the engine in use, about */
	uint64_t since_ns;         /* CLOCK_REALTIME: in use since then */
	enum definitions_refusal refusal;
	char refused[256]; /* why newer ones are not in use; empty: they are */
	/* loader_clamd.c; settings.engine is ENGINE_CLAMD */
	struct clamd_link clamd;
	uint64_t clamd_files;    /* identity of the folder as clamd has it in memory, as far as we know */
	uint64_t changed_ns;     /* the folder is another one since then; 0: it is not */
	unsigned reloads;        /* of clamd, when it was last told to */
	uint64_t reload_of;      /* the folder then */
	char clamd_version[128]; /* in use */
};

/* ---- loader.c ---- */
void loader_say(struct loader *loader, enum leash_kind kind, uint64_t value, const char *text);
void loader_say_loaded(struct loader *loader);
/* Called often by the engine while it loads: workers of the old definitions go on being replaced meanwhile. */
void loader_loading(void *owner);

/* ---- loader_definitions.c ---- */
void definitions_check(struct loader *loader); /* in each turn */
void definitions_free_old(struct loader *loader);
/* There is nothing to load, or it does not load: what is in use stays, if there is anything. */
void definitions_refused(struct loader *loader, enum definitions_refusal refusal, const struct engine_report *report);
/* What is there to load; report->text says why nothing is. */
void folder_look(struct loader *loader, struct engine_report *report);
/* Bytes that the engine in use takes: what we hold now, less what we held before it was loaded. */
void engine_measure(struct loader *loader, uint64_t before);

/* ---- loader_clamd.c ---- */
void clamd_check(struct loader *loader); /* in each turn, in place of definitions_check() */

#endif
