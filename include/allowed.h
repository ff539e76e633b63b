/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allow list, as the steward hands it to the gate (LEASH_ALLOWED: a sealed memfd): names of signatures and contents
 * that are allowed although the scanner finds something, each until its time. Fixed size, no pointers.
 */
#ifndef MAILWARD_ALLOWED_H
#define MAILWARD_ALLOWED_H

#include <stdint.h>

#include "verdict.h"

#define ALLOWED_MAGIC 0x4d57414c4c303031ULL
#define ALLOWED_MAX 512
#define ALLOWED_REASON_SIZE 256

enum allowed_kind { ALLOWED_CONTENT = 1, ALLOWED_SIGNATURE, ALLOWED_KINDS };
#define ALLOWED_KIND_NAMES                                                                                             \
	{                                                                                                              \
		"", "sha256", "signature"                                                                              \
	}

struct allowed_entry {
	uint32_t id;               /* from 1 on, never given twice */
	uint8_t kind;              /* enum allowed_kind */
	uint8_t unused[3];         /* zero */
	uint64_t until_ns;         /* CLOCK_REALTIME; 0: for good */
	uint8_t digest[32];        /* CONTENT: SHA-256 of the whole file; else zero */
	char name[SIGNATURE_SIZE]; /* SIGNATURE: printable ASCII, zero-terminated; else empty */
};

struct allowed_table {
	uint64_t magic;
	uint64_t number; /* another one with each list that is handed out; never 0 */
	uint32_t size;   /* sizeof(struct allowed_table) */
	uint32_t count;
	struct allowed_entry entries[ALLOWED_MAX];
};

/* Who added an entry, when and why: the steward's, and what `allow list` shows. */
struct allowed_record {
	struct allowed_entry entry;
	uint64_t added_ns; /* CLOCK_REALTIME */
	uint32_t uid;
	uint32_t unused;
	char reason[ALLOWED_REASON_SIZE]; /* any bytes but zero and line ends; zero-terminated */
};

#endif
