/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From what was noticed during one scan to a verdict. libclamav's own "clean" means only that nothing was found in what
 * was looked at (facts: every limit, a full temporary folder and a lack of descriptors end in it), so clean is what is
 * left when nothing at all was noticed. Pure: no system calls, no libclamav.
 */
#ifndef MAILWARD_JUDGE_H
#define MAILWARD_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"
#include "wire.h"

#define FINDING_SIZE 96
struct findings {
	unsigned layers;                           /* that the engine began to look at */
	char infected[SIGNATURE_SIZE];             /* the first name that a signature has */
	char heuristics[HEURISTICS][FINDING_SIZE]; /* the first name of each kind */
	char limit[FINDING_SIZE];                  /* "MaxFileSize"; the first */
	char error[FINDING_SIZE];                  /* the engine's first message, or its return code in words */
	char unsupported[FINDING_SIZE];            /* the first kind that could not be opened */
	char encrypted[FINDING_SIZE];              /* "Zip"; the first */
	uint8_t error_reason;                      /* REASON_IO_ERROR or REASON_ENGINE_ERROR, with `error` */
	char content[FINDING_SIZE];                /* what the content rule says, where HEURISTIC_TYPE has a name */
	const char *engine;                        /* who looked, for the detail; NULL: libclamav */
	bool named;                                /* the engine has reported a name */
	bool mail;                                 /* the engine takes the whole for a message */
	bool copy;                                 /* it is a copy that again() made */
	/* Takes a message that the engine does not take for one, to be looked at by itself; false: it cannot. NULL:
	 * none. */
	bool (*again)(void *owner, const unsigned char *bytes, size_t size);
	void *owner;
	bool spoke;                          /* the engine had a message: its process should not be trusted with more */
	uint8_t name_count;                  /* different names that make it infected, in the order they came */
	bool names_more;                     /* there were others beyond these */
	uint8_t name_heuristics[SCAN_NAMES]; /* as in struct scan_reply */
	char names[SCAN_NAMES][SIGNATURE_SIZE];
};

/* Sorts a name that the engine reports: a limit, encryption, a heuristic of some kind, or a signature. libclamav's own
 * code calls some known viruses Heuristics.*, too; these are signatures. */
void findings_name(struct findings *findings, const char *name);
bool name_is_encrypted(const char *name);

/* The content rule's. */
void findings_type(struct findings *findings, const char *name, const char *detail);
void findings_encrypted(struct findings *findings, const char *what);
void findings_unsupported(struct findings *findings, const char *what);

/* A warning or error of the engine. No message is known to be harmless: 4,500 files of all kinds drew none, and the
 * likeliest ones (odd MIME) mean that a part was left out. */
void findings_message(struct findings *findings, const char *message);

/* An error other than a message, in words. */
void findings_error(struct findings *findings, enum verdict_reason reason, const char *text);

/* infected by a signature, else by heuristics, with the reason beside; else the strictest of what was noticed: limit,
 * error, unsupported, encrypted; else clean, if a layer was looked at. `detail` says what each level found
 * ("libclamav: clean; content: Mailward.Type.Script (member a.js)"); empty where all of them say clean. */
void judge(const struct findings *findings, struct verdict *verdict, char *detail, size_t detail_size);

/* Every name that was found goes into the reply of an infected file, and what is left without them. */
void judge_names(const struct findings *findings, struct scan_reply *reply);

/* Copies text, cut to fit; what is not printable ASCII becomes '?', line ends at the end go. */
void text_printable(char *out, size_t size, const char *text);

#endif
