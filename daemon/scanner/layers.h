/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Follows libclamav through the layers of a file (a mail, the zip in it, what is in that), and notes what was not
 * looked at: a kind that it cannot open, encryption that it passes over, and an archive whose members do not come as
 * layers although they were announced. Knows nothing of libclamav's headers; engine.c passes its callbacks on.
 */
#ifndef MAILWARD_LAYERS_H
#define MAILWARD_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

#include "claims.h"
#include "formats.h"
#include "judge.h"

#define LEVELS_MAX 128 /* of nested layers; the setting max_depth is below it */

struct level {
	enum format_members members;
	bool tiny;       /* may hold nothing worth a layer (a stream of 5 bytes) */
	bool encrypted;  /* was noticed here: no wonder that nothing comes */
	bool announced;  /* members were announced at all */
	bool pending;    /* the latest one has not come as a layer */
	bool zip_behind; /* it ends as a zip does, which has not come as a layer */
	bool expected;   /* one that is larger than 5 bytes was announced */
	unsigned below;  /* layers that came from it */
	char type[40];
	char member[64]; /* the latest announced, printable; or empty */
};

struct layers {
	struct findings *findings;
	struct claims claims; /* the content rule's */
	bool rar;             /* the engine has its RAR library */
	unsigned max_parts;   /* of a message */
	unsigned depth;       /* levels in use */
	struct level levels[LEVELS_MAX];
};

/* findings: borrowed. deny_types: bits 1 << enum deny_type. max_parts: a message of more is not looked at,
 * since libclamav minds neither its time nor its memory while it takes one apart. */
void layers_open(struct layers *layers, struct findings *findings, bool rar, uint32_t deny_types, unsigned max_parts);
/* A layer is going to be looked at. type: libclamav's name or NULL; bytes: all of it, or NULL: it could not be read;
 * name: what it is called in what it came from, or NULL. false: it is nested too deep to be followed, skip it (which is
 * noted). */
bool layers_begin(struct layers *layers, const char *type, const unsigned char *bytes, size_t size, const char *name);
/* The layer that began last, and has not ended, announces a member of `size` bytes. */
void layers_member(struct layers *layers, const char *container, const char *name, size_t size, bool encrypted);
void layers_name(struct layers *layers, const char *name); /* found in it: a signature, a limit, encryption */
void layers_end(struct layers *layers);                    /* it is done */
void layers_close(struct layers *layers);                  /* the scan is over, whatever has not ended has */

#endif
