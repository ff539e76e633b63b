/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that processes share. The keeper makes each piece as a memfd (memfd_create(2)), so that no file system can
 * hold up who writes there, and keeps it over the restart of a child.
 *
 *   struct status_page   keeper and gate write, each its own part; the tool and the recorder map it read-only
 *   struct gate_notes    the gate writes, the keeper reads: what to answer should the gate end
 *
 * Counters are 64-bit, aligned, written by one process, read with __atomic_load_n(relaxed). Texts of the gate are
 * guarded by `turn`: odd while they are being written; a reader copies, and tries again when it changed (twenty times
 * at most, then it takes what it has).
 */
#ifndef MAILWARD_SHARED_H
#define MAILWARD_SHARED_H

#include <stdint.h>

#include "definition.h"
#include "quarantined.h"
#include "sweeping.h"
#include "verdict.h"

#define STATUS_MAGIC 0x4d57535431303032ULL
#define WATCHES_MAX 64
#define ROOTS_MAX 128 /* directories that watches consist of: their own, and mounts below them */
#define PROCESSES_MAX 16
#define STEWARD_ISSUES_SHOWN 8
#define LASTING_MAX 128 /* files that never raise a question, where their file system is marked */

enum process_state { PROCESS_STARTING = 1, PROCESS_RUNNING, PROCESS_LOADING, PROCESS_RESTARTING, PROCESS_STATES };
#define PROCESS_STATE_NAMES                                                                                            \
	{                                                                                                              \
		"", "starting", "running", "loading", "restarting"                                                     \
	}

struct process_entry {
	char name[16]; /* keeper gate loader recorder steward; zero-terminated */
	int32_t pid;   /* 0: not running */
	uint32_t state;
	uint64_t restarts;
	uint64_t started_ns; /* CLOCK_REALTIME */
};

enum coverage { COVERED_NO = 0, COVERED_YES, COVERED_PARTLY, COVERAGES };
#define COVERAGE_NAMES                                                                                                 \
	{                                                                                                              \
		"no", "yes", "partly"                                                                                  \
	}

enum guard_mode { GUARD_NONE = 0, GUARD_REDUCED, GUARD_FULL, GUARD_MODES };
#define GUARD_MODE_NAMES                                                                                               \
	{                                                                                                              \
		"none", "reduced", "full"                                                                              \
	}

/* Of one watch, or of all: was a canary really refused there, for open and for exec? */
enum canary {
	CANARY_NOT_YET = 0,
	CANARY_BLOCKED,
	CANARY_NOT_BLOCKED,
	CANARY_NOT_POSSIBLE,   /* it should be, but could not be tried */
	CANARY_NOT_APPLICABLE, /* the policy does not ask for it: mode, store, on-infected = report */
	CANARIES
};
#define CANARY_NAMES                                                                                                   \
	{                                                                                                              \
		"not-yet", "blocked", "not-blocked", "not-possible", "not-applicable"                                  \
	}

struct watch_entry {
	char path[1024]; /* cut where longer */
	char file_system[32];
	char why[160];   /* empty where covered */
	uint8_t covered; /* enum coverage */
	uint8_t store;   /* enum store */
	uint8_t mode;    /* enum watch_mode */
	uint8_t marks;   /* 1: ignore marks are in use on its file system */
	uint8_t marked;  /* 1: its file system has the permission mark */
	uint8_t hooks;   /* 1: the kernel side guards it too */
	uint8_t reserved[2];
};

struct keeper_part {
	uint64_t started_ns;             /* CLOCK_REALTIME */
	uint64_t policy_number;          /* of the policy in force; 0: none yet */
	uint64_t definitions_signatures; /* 0: none */
	uint64_t definitions_time_ns;    /* CLOCK_REALTIME of the newest definition file */
	uint64_t definitions_known;      /* 1: the loader has said whether there are any */
	uint64_t workers_serving;        /* workers that have passed their canary */
	uint64_t answered_for_gate;      /* accesses answered by the keeper for a dead gate */
	uint64_t released_unjudged;
	uint64_t blocked_before[24];   /* denials in earlier runs, by hour before start */
	char definitions_version[128]; /* or why there are none */
	char policy_file[1024];
	char reload_failed[256];    /* empty, or the first complaint of the last reload that failed */
	uint32_t uids_are_fallback; /* 1: the system user _mailward does not exist */
	uint32_t process_count;
	struct process_entry processes[PROCESSES_MAX];
	uint64_t released_lately;    /* of released_unjudged, those of the 24 h before the start and since */
	uint32_t guard_mode;         /* enum guard_mode */
	uint32_t labels;             /* 1: the kernel side knows mail software (full mode, and where only that loads) */
	char guard_why[200];         /* mode is not full: why */
	char guard_remedy[300];      /* and what to do about it, or empty */
	uint64_t canary_policy;      /* number of the policy that `canary` was found out for */
	uint8_t canary[WATCHES_MAX]; /* enum canary, by watch */
	char canary_why[160];        /* of the first that was not blocked, or could not be tried */
	/* Written before canary_policy. Each watch by itself, as in `canary`, for an open and for an exec; and what is
	 * to be said of it. */
	uint8_t canary_open[WATCHES_MAX], canary_exec[WATCHES_MAX];
	char canary_text[WATCHES_MAX][160];
	uint64_t canary_due_ns;   /* CLOCK_MONOTONIC; a selftest is under way or wanted, and over by then; 0: none is */
	uint64_t workers_gone_ns; /* CLOCK_MONOTONIC; since when none serves any more; 0: some do, or none ever has */
	/* The definitions in use; times CLOCK_REALTIME, 0: not known. */
	uint64_t definitions_built_ns;                  /* the latest making that a signed database names */
	uint64_t definitions_since_ns;                  /* in use since then */
	uint64_t definitions_bytes, definitions_memory; /* of their files; of the engine, about */
	uint64_t definitions_max_age_s;                 /* of the policy in force; 0: none is yet */
	uint32_t definitions_files;                     /* how many; the first DEFINITION_FILES_MAX are these */
	uint32_t definitions_refused;                   /* enum definitions_refusal */
	char definitions_refused_why[256];
	uint64_t definitions_refused_ns; /* when that was said first */
	struct definition_file definition_files[DEFINITION_FILES_MAX];
	char steward_issues[STEWARD_ISSUES_SHOWN][256]; /* by enum steward_issue (wire.h); empty: none */
	uint64_t max_file_size, max_scan_size;          /* of the policy in force, bytes; 0: none is yet */
	struct sweep_shown sweeps[SWEEP_KINDS];
	struct quarantine_shown quarantine;
};

struct gate_part {
	uint64_t turn;        /* see above: watches and watch_count */
	uint64_t marks_stand; /* 1: every watch that can be covered is */
	uint64_t waiting;     /* accesses read and not answered */
	uint64_t cases;
	uint64_t accesses; /* events read */
	uint64_t allowed;
	uint64_t denied;
	uint64_t would_deny;
	uint64_t known;             /* answered from memory */
	uint64_t scans;             /* verdicts from workers */
	uint64_t same_content;      /* verdicts by SHA-256 */
	uint64_t fetched_ahead;     /* scans begun at close after write */
	uint64_t not_fetched_ahead; /* closes that could not be followed up (overflow) */
	uint64_t flushes;           /* moves and links that took ignore marks back */
	uint64_t kernel_refused;    /* read() errors: the kernel refused the open itself */
	uint64_t busy;
	uint64_t deadlines_passed;
	uint64_t records_lost;
	uint64_t worker_deaths;
	uint64_t hook_refusals;      /* accesses that the kernel side refused by itself */
	uint64_t hook_refusals_lost; /* of these, those without a record */
	uint64_t loop_ns;            /* CLOCK_MONOTONIC of the gate's latest turn of its loop */
	uint64_t denied_hour[24];    /* ring: index (CLOCK_REALTIME hour) % 24 */
	uint64_t denied_hour_is[24]; /* which hour that is */
	uint64_t wait_under_ms[8];   /* histogram of waits: <1 <10 <100 <1000 <5000 <10000 <60000 more, ms */
	uint64_t allowed_number;     /* of the allow list in force (struct allowed_table); 0: none yet */
	uint32_t watch_count;
	uint32_t reserved;
	struct watch_entry watches[WATCHES_MAX];
	uint64_t definitions;   /* identity of those that verdicts are made with and have to be of; 0: none yet */
	uint64_t behind;        /* cases ended that the steward asked for: rechecks and sweeps */
	uint64_t rechecked_bad; /* of these, infected mail found by a recheck */
};

struct status_page {
	uint64_t magic;
	uint32_t version; /* WIRE_VERSION */
	uint32_t size;    /* sizeof(struct status_page) */
	struct keeper_part keeper;
	struct gate_part gate;
};

/* One for each descriptor number: an event that the gate has read and not answered. */
#define NOTES_MAX 65536
enum { NOTE_NONE = 0, NOTE_ALLOW = 1, NOTE_DENY = 2 };
struct gate_note {
	int32_t pid;
	uint8_t answer; /* NOTE_*: by on-down of the watch; written last, cleared after the answer */
	uint8_t watch;
	uint8_t reserved[2];
};
struct gate_notes {
	uint32_t nofile; /* the gate's RLIMIT_NOFILE */
	uint32_t own_count;
	int32_t own_pids[PROCESSES_MAX]; /* written by the keeper before the process runs; the gate allows their
					    accesses at once */
	struct gate_note notes[NOTES_MAX];
};

#endif
