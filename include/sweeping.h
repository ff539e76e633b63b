/* SPDX-License-Identifier: GPL-2.0-only */
/* What a sweep has counted, as the steward, its state file, the status page and the tool have it. */
#ifndef MAILWARD_SWEEPING_H
#define MAILWARD_SWEEPING_H

#include <stdint.h>

enum sweep_kind {
	SWEEP_ASKED = 0, /* mailward scan */
	SWEEP_SCHEDULED,
	SWEEP_KINDS
};
#define SWEEP_KIND_NAMES                                                                                               \
	{                                                                                                              \
		"scan", "schedule"                                                                                     \
	}

enum sweep_state_kind { SWEEP_NEVER = 0, SWEEP_RUNNING, SWEEP_INTERRUPTED, SWEEP_ENDED, SWEEP_STATES };
#define SWEEP_STATE_NAMES                                                                                              \
	{                                                                                                              \
		"never", "running", "interrupted", "ended"                                                             \
	}

/* What becomes of something that a sweep finds. */
enum sweep_action {
	SWEEP_REPORTED = 0, /* nothing: no watch, one that only observes, or its policy says so */
	SWEEP_DENIED,       /* its opens are */
	SWEEP_MOVED,        /* to the quarantine */
	SWEEP_NOT_MOVED,    /* it should have been */
	SWEEP_ACTIONS
};
#define SWEEP_ACTION_NAMES                                                                                             \
	{                                                                                                              \
		"reported", "denied", "quarantined", "not-quarantined"                                                 \
	}

struct sweep_counts {
	uint64_t files, bytes; /* that a verdict is there of, or why there is none */
	uint64_t known;        /* of these, judged before, and unchanged since */
	uint64_t infected;     /* a signature or a heuristic */
	uint64_t unscanned;    /* the scanner could not say */
	uint64_t moved;        /* went to the quarantine */
	uint64_t unreadable;   /* files and folders that could not be opened */
	uint64_t mounts;       /* mount points below that were left out */
	uint64_t vanished;     /* gone, or another kind of file, when their turn came */
	uint64_t changing;     /* written to all the time: judged when their writers close them */
};

/* One kind of sweep, for status. Times CLOCK_REALTIME, ns; 0: never, none. */
struct sweep_shown {
	uint64_t begun_ns, ended_ns, next_ns;
	uint32_t state; /* enum sweep_state_kind */
	uint32_t reserved;
	struct sweep_counts counts;
};

#endif
