/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the gate tells the recorder about one decision, after it has answered. It travels in the record ring
 * (base/ring.h): a struct record followed by its texts, in this order, without terminating zeros: signature, watch,
 * policy, queue_id, message_id, detail, exe, path. Sizes are below; nothing is larger than RECORD_MAX in all.
 */
#ifndef MAILWARD_RECORD_H
#define MAILWARD_RECORD_H

#include <stdint.h>

#include "verdict.h"

enum record_phase {
	PHASE_KNOWN = 0, /* a verdict was there */
	PHASE_SCAN,      /* the access waited for its scan */
	PHASE_DEADLINE,  /* its deadline passed */
	PHASE_BUSY,      /* no room to wait */
	PHASE_KERNEL,    /* the kernel refused it before the gate could see it (a lease, no descriptors) */
	PHASE_DOWN,      /* answered for a gate that had ended */
	PHASE_CLOSE,     /* no access: a scan after a write ended with this */
	PHASE_HOOK,      /* the kernel side refused it by itself; detail says why where no verdict does */
	PHASE_RECHECK,   /* no access: a second look after new definitions ended with this */
	PHASE_SWEEP,     /* no access: a sweep ended with this */
	PHASES
};
#define PHASE_NAMES                                                                                                    \
	{                                                                                                              \
		"known", "scan", "deadline", "busy", "kernel", "down", "close", "hook", "recheck", "sweep"             \
	}

enum record_text {
	TEXT_SIGNATURE,
	TEXT_WATCH,
	TEXT_POLICY,
	TEXT_QUEUE_ID,
	TEXT_MESSAGE_ID,
	TEXT_DETAIL,
	TEXT_EXE,
	TEXT_PATH,
	RECORD_TEXTS
};

struct record {
	int64_t time_ns;  /* CLOCK_REALTIME at the answer */
	uint64_t wait_ns; /* from the gate's read of the event to its answer */
	uint64_t dev;     /* st_dev as makedev() packs it */
	uint64_t ino;
	uint32_t pid; /* in the gate's pid namespace; 0: outside it */
	uint32_t uid; /* effective; UINT32_MAX: not known */
	uint32_t watch_index;
	uint8_t access;  /* enum access_kind */
	uint8_t answer;  /* enum answer */
	uint8_t would;   /* 1: the answer would have been this one, had the watch been enforcing */
	uint8_t phase;   /* enum record_phase */
	uint8_t verdict; /* enum verdict_kind */
	uint8_t reason;  /* enum verdict_reason */
	uint16_t sizes[RECORD_TEXTS];
	uint8_t heuristics; /* bits 1 << enum heuristic */
	uint8_t unused;
	uint16_t reserved[2];
};

#define RECORD_MAX (sizeof(struct record) + 128 + 1024 + 320 + 32 + 256 + 160 + 1024 + 8192)

#endif
