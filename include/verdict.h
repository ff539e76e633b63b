/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one list of verdicts, reasons and answers, and their printed names. Fixed-width, because these travel between
 * processes; a value that came over a socket is checked with verdict_is_valid() before use.
 */
#ifndef MAILWARD_VERDICT_H
#define MAILWARD_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum verdict_kind { VERDICT_NONE = 0, VERDICT_CLEAN, VERDICT_INFECTED, VERDICT_UNSCANNED, VERDICT_KINDS };

/* Why something is unscanned. REASON_NONE goes with clean and infected only. */
enum verdict_reason {
	REASON_NONE = 0,
	REASON_TIMEOUT,
	REASON_TOO_LARGE,
	REASON_TOO_DEEP,
	REASON_ENCRYPTED,
	REASON_UNSUPPORTED,
	REASON_IO_ERROR,
	REASON_ENGINE_ERROR,
	REASON_CRASHED,
	REASON_NO_DEFINITIONS,
	REASON_BUSY,
	REASON_EXEC_NEVER, /* goes with VERDICT_NONE alone: denied by `exec = never`, whatever the file holds */
	REASONS
};

enum answer { ANSWER_NONE = 0, ANSWER_ALLOW, ANSWER_DENY, ANSWERS };

enum access_kind { ACCESS_OPEN = 0, ACCESS_EXEC, ACCESS_KINDS };

/* What is said of a content without a signature: each kind has its own action in the policy. */
enum heuristic {
	HEURISTIC_MACRO = 0, /* a document with macros */
	HEURISTIC_BROKEN,    /* a broken executable or medium */
	HEURISTIC_PHISHING,
	HEURISTIC_UNWANTED, /* PUA.*: possibly unwanted applications */
	HEURISTIC_OTHER,
	HEURISTIC_TYPE, /* what the file is, or is called: `deny-types` of the policy, by our own content rule */
	HEURISTICS
};

#define CANARY_NAME "Mailward.Canary" /* the signature of the canary's random bytes */
#define SIGNATURE_SIZE 128            /* with its terminating zero; longer names are cut */

/*
 * infected, heuristics 0: a signature matched, reason is none.
 * infected, heuristics not 0: no signature did. `signature` is the name of the strictest of them, and where a part was
 * not looked at besides, `reason` says why: the strictest action of all of them counts (policy_decide()).
 * clean, unscanned: heuristics 0.
 */
struct verdict {
	uint8_t kind;                   /* enum verdict_kind */
	uint8_t reason;                 /* enum verdict_reason */
	uint8_t heuristics;             /* bits 1 << enum heuristic */
	uint8_t reserved[5];            /* zero */
	char signature[SIGNATURE_SIZE]; /* infected only; printable ASCII, zero-terminated */
};

#define VERDICT_NAMES                                                                                                  \
	{                                                                                                              \
		"none", "clean", "infected", "unscanned"                                                               \
	}
#define REASON_NAMES                                                                                                   \
	{                                                                                                              \
		"", "timeout", "too-large", "too-deep", "encrypted", "unsupported", "io-error", "engine-error",        \
			"crashed", "no-definitions", "busy", "exec-never"                                              \
	}
#define HEURISTIC_NAMES                                                                                                \
	{                                                                                                              \
		"macro", "broken", "phishing", "unwanted", "other", "type"                                             \
	}
#define ACCESS_NAMES                                                                                                   \
	{                                                                                                              \
		"open", "exec"                                                                                         \
	}

#endif
