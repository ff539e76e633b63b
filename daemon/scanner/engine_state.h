/* SPDX-License-Identifier: GPL-2.0-only */
/* What engine.c (the engine itself, and scans with it) and engine_load.c (signatures into it) share; nobody else
 * includes it, or libclamav's header. */
#ifndef MAILWARD_ENGINE_STATE_H
#define MAILWARD_ENGINE_STATE_H

#include <clamav.h>

#include "canary.h"
#include "engine.h"

struct engine {
	struct cl_engine *clam;
	struct cl_scan_options options;
	unsigned char canary[CANARY_BYTES];
	uint32_t deny_types;
	unsigned max_parts; /* of a message: settings.max_files */
	bool shallow;       /* its limits do not let it look into a mail */
	void (*alive)(void *owner);
	void *owner;
	unsigned calls;
};

/* Limits, options and callbacks; no signatures. NULL: it does not take them, or no memory. */
struct engine *engine_new(const struct scanner_settings *settings);

/* The first thing that libclamav complained of outside of a scan, since it was last forgotten; empty: nothing. */
const char *engine_complaint(void);
void engine_complaint_forget(void);

#endif
