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

#define SIGNATURE_SIZE 128 /* with its terminating zero; longer names are cut */

struct verdict {
	uint8_t kind;                   /* enum verdict_kind */
	uint8_t reason;                 /* enum verdict_reason */
	uint8_t reserved[6];            /* zero */
	char signature[SIGNATURE_SIZE]; /* infected only; printable ASCII, zero-terminated */
};

#define VERDICT_NAMES                                                                                                  \
	{                                                                                                              \
		"none", "clean", "infected", "unscanned"                                                               \
	}
#define REASON_NAMES                                                                                                   \
	{                                                                                                              \
		"", "timeout", "too-large", "too-deep", "encrypted", "unsupported", "io-error", "engine-error",        \
			"crashed", "no-definitions", "busy", "exec-never"                                                            \
	}
#define ACCESS_NAMES                                                                                                   \
	{                                                                                                              \
		"open", "exec"                                                                                         \
	}

#endif
