/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames between processes: one fixed-size struct and at most one descriptor, over SOCK_SEQPACKET (base/frame.h).
 * Every socket has one frame struct for each direction. Whoever receives checks size, kind and ranges as hostile;
 * a wrong frame may cost the sender its socket and nothing else.
 *
 *   keeper  <-> each child   struct leash_frame          beats, settings, the policy, sockets to peers
 *   gate    <-> loader       struct nursery_frame        new workers, the hasher, definitions; kill
 *   gate    <-> worker       struct scan_request/_reply
 *   gate    <-> hasher       struct hash_request/_reply
 *   gate    <-> recorder     struct explain_request/_reply
 *   tool    <-> keeper       struct keeper_request/_reply     (RUNTIME/keeper.sock)
 *   tool    <-> recorder     struct recorder_request, struct row_frame   (RUNTIME/recorder.sock)
 *   gate    <-> steward      struct steward_request/_reply    (steward.h)
 *   tool    <-> steward      struct steward_ask, struct steward_row   (steward.h; RUNTIME/steward.sock)
 */
#ifndef MAILWARD_WIRE_H
#define MAILWARD_WIRE_H

#include "definition.h"
#include "quarantined.h"
#include "sweeping.h"
#include "verdict.h"

#define WIRE_VERSION 1
#define KEEPER_SOCKET "keeper.sock"
#define RECORDER_SOCKET "recorder.sock"
/* Files of the selftest, in the watched folders for a moment. Opened by the workers' uid, which opens no other file:
 * neither counted nor recorded. */
#define SELFTEST_PREFIX ".mailward-selftest-"
#define CANARY_NAME "Mailward.Canary" /* the loader's own signature, of random bytes */

/*
 * Descriptors that a child finds open when it starts; every other one is closed before exec. The keeper moves them to
 * these numbers. FD_LEASH is there for each; the rest as noted.
 */
enum start_fd {
	FD_LEASH = 3,        /* all: struct leash_frame, to the keeper */
	FD_STATUS_PAGE,      /* gate; recorder, steward (read-only there): memfd of struct status_page */
	FD_GATE_NOTES,       /* gate: memfd of struct gate_notes */
	FD_RECORD_RING,      /* gate, recorder: memfd of base/ring.h */
	FD_RECORD_BELL,      /* gate, recorder: eventfd; written by the gate after a record */
	FD_PERMISSION_GROUP, /* gate: fanotify, FAN_CLASS_CONTENT */
	FD_CLOSED_GROUP,     /* gate: fanotify, FAN_CLASS_NOTIF, events with descriptors: FAN_CLOSE_WRITE */
	FD_MOVES_GROUP,      /* gate: fanotify, FAN_CLASS_NOTIF, events with file handles: moves, links, new names */
	FD_PROC,             /* gate, recorder, steward: directory /proc */
	FD_LISTENER,         /* recorder, steward: listening SOCK_SEQPACKET socket, each its own */
	FD_STATE_DIR,        /* recorder, steward: directory STATE/recorder, STATE/steward, its own */
	FD_DEFINITIONS,      /* loader: directory of the definitions, or not open when there is none */
	FD_OWN_DIR,          /* loader: directory RUNTIME/loader, its own */
	FD_POLICY,   /* policy reader, when the roots of the policy in force are to be found again: that policy */
	FD_VERDICTS, /* gate; steward (read-only there): memfd of edge/memory.h */
	FD_HOOKS,    /* gate: the maps of hooks.h, FD_HOOKS + enum hook_map; policy reader: labels alone. Not open where
			the kernel side is not there */
	FD_START_END = FD_HOOKS + 11 /* HOOK_MAPS */
};

/* ---- keeper <-> child ---- */
enum leash_kind {
	/* child to keeper */
	LEASH_BEAT = 1, /* alive; the gate and the loader: a standstill of 1.5 s / 2 s (loading: 60 s) ends them; time
			   in which the loader wants a processor and gets none is no standstill */
	LEASH_READY,    /* gate: all marks that can stand do; loader: see nursery; recorder: serving; value unused */
	LEASH_IN_FORCE, /* gate: the policy with this value as its number is in force; text: empty or what fell short */
	/* LEASH_PEER, from the gate: what the loader (value PEER_LOADER) sent was no frame, its socket was dropped */
	LEASH_MISSING, /* gate: watch number `value` has lost its directory, or a lasting file was replaced: find all of
			  them again */
	LEASH_LOADING, /* loader: definitions are being loaded (beats may be 60 s apart until LEASH_LOADED) */
	LEASH_LOADED,  /* loader: done; value: signatures, 0 = no definitions; text: version, or why there are none */
	LEASH_SERVING, /* loader: a worker has passed its canary; value: workers serving */
	LEASH_BEFORE, /* recorder, once: counts[h] = denials h hours before the keeper's start, value: released_unjudged
			 so far, watch: those of the last 24 h */
	LEASH_LOG,    /* any: text is one line for the log */
	/* policy reader to keeper */
	LEASH_POLICY, /* fd: sealed memfd of struct policy; value: warnings. To the gate: value is its number, and what
			 follows (roots, watches without one, LEASH_POLICY_END) goes with it */
	LEASH_ROOT,   /* fd: O_RDONLY directory of a root; value: index of the watch; in the order of the watches */
	LEASH_WATCH_WITHOUT, /* value: index of a watch that has no root; or, after its roots, that lacks a part; text:
				why */
	LEASH_POLICY_END,    /* all sent */
	LEASH_COMPLAINT,     /* the policy is wrong: text is "file:line: sentence"; several may come */
	/* keeper to child */
	LEASH_START, /* loader: settings in `scanner`, the path of the definitions in `text`; value: 1: the one before
			it ended while it loaded, so that nothing is loaded that was not tried first; first frame */
	LEASH_PEER, /* fd: gate: socket to the loader (value LOADER), recorder or steward; loader, recorder, steward: to
		       the gate */
	LEASH_STOP, /* end in order: the gate answers what waits by on-down first */
	LEASH_NOTE, /* recorder: a row for accesses the keeper answered for a dead gate: value count, answer, watch */
	LEASH_LASTING, /* policy reader to keeper to gate, between roots and end; fd: O_PATH of a file that must open
			  even while nobody answers (where its own file system is marked) */
	LEASH_PROGRAM, /* policy reader to keeper to gate, between roots and end; fd: O_PATH of a root of mail
			  software; value: its index in the policy; device as for a root */
	LEASH_CANARY,  /* loader to keeper, when the gate hears of the definitions too; keeper to selftest, its first
			  frame, value: number of the policy. text: the canary's bytes in hexadecimal; empty: no
			  definitions, or no canary */
	LEASH_TESTED,  /* selftest to keeper: watch; value: enum canary of the watch, counts[0] and counts[1] those of
			  open and exec; counts[2]: 1: its folder was replaced meanwhile, so that nothing is known; text:
			  why it is not CANARY_BLOCKED, or what else is to be known */
	LEASH_TESTED_ALL, /* selftest to keeper: every watch was told of */
	LEASH_STATE,      /* from each child but the gate, before it is executed: its first frame; fd: its
			     /proc/self/stat, or none where that can't be opened */
	LEASH_DEFINITION, /* loader: one file of the definitions that are in use from the next LEASH_LOADED on; value:
			     its index */
	LEASH_REFUSED, /* loader: newer definitions are not in use; value: enum definitions_refusal (NONE: it is over);
			  text: why */
	LEASH_ISSUE,   /* steward to keeper: value: enum steward_issue; text: what status is to say of it; empty: it is
			  over */
	LEASH_ALLOWED, /* steward to keeper, keeper to gate; fd: sealed memfd of struct allowed_table (allowed.h). A
			  gate gets it before its first policy */
	LEASH_SWEEP,   /* steward to keeper: value: enum sweep_kind; sweep: what status is to show of it */
	LEASH_HELD,    /* steward to keeper: quarantine: what status is to show of it */
	LEASH_KINDS
};
enum leash_peer { PEER_LOADER = 1, PEER_RECORDER = 2, PEER_GATE = 3, PEER_STEWARD = 4 };

/* What the steward has to say in status. */
enum steward_issue {
	ISSUE_QUARANTINE = 0, /* it cannot take more, or not all of it */
	ISSUE_PURGE,          /* it is about to purge */
	ISSUE_ALLOWED,        /* the allow list cannot be used */
	ISSUE_NOTIFY,         /* notices do not get out */
	ISSUE_QUEUE,          /* something infected went through a queue */
	STEWARD_ISSUES = 8
};

enum scan_engine { ENGINE_LIBCLAMAV = 0, ENGINE_CLAMD, SCAN_ENGINES };
#define CLAMD_PATH_SIZE 108 /* sun_path of unix(7) */
/* Kinds of attachment that a policy may not want (`attachments { deny-types }`); what counts is what a file is, and
 * what it is called. */
enum deny_type { TYPE_EXECUTABLE = 0, TYPE_SCRIPT, TYPE_SHORTCUT, TYPE_DISK_IMAGE, TYPE_MACRO_DOCUMENT, DENY_TYPES };
#define DENY_TYPE_NAMES                                                                                                \
	{                                                                                                              \
		"executable", "script", "shortcut", "disk-image", "macro-document"                                     \
	}

struct scanner_settings {
	uint64_t max_file_size; /* bytes */
	uint64_t max_scan_size; /* bytes, of all layers together */
	uint32_t max_files;     /* members of one archive */
	uint32_t max_depth;     /* nested layers */
	uint32_t scan_time_ms;  /* libclamav's own limit; the gate's kill comes 1 s after it */
	uint32_t workers;
	uint32_t worker_uid; /* of workers and the hasher */
	uint32_t loader_uid;
	uint32_t worker_gid;
	uint32_t loader_gid;
	uint32_t engine;                    /* enum scan_engine: whose signatures */
	char clamd_socket[CLAMD_PATH_SIZE]; /* ENGINE_CLAMD: absolute path, zero-terminated */
	uint32_t deny_types;                /* bits 1 << enum deny_type */
	uint32_t reserved;                  /* zero */
};

#define LEASH_TEXT 1024
struct leash_frame {
	uint32_t version; /* WIRE_VERSION */
	uint32_t kind;    /* enum leash_kind */
	uint64_t value;
	uint32_t watch;  /* LEASH_NOTE */
	uint32_t answer; /* LEASH_NOTE: enum answer */
	struct scanner_settings scanner;
	uint32_t counts[24];
	char text[LEASH_TEXT]; /* zero-terminated */
	uint64_t time_ns;      /* LEASH_LOADED: CLOCK_REALTIME of the newest definition file, 0: none */
	uint32_t device; /* LEASH_ROOT, LEASH_PROGRAM: the kernel's number of its file system, from mountinfo: major
			    << 20 | minor; 0: not known */
	uint32_t reserved;
	/* LEASH_LOADED, all CLOCK_REALTIME; 0: not known */
	uint64_t built_ns; /* the latest making that a signed database names */
	uint64_t since_ns; /* when they came in use */
	uint64_t bytes;    /* of all their files */
	uint64_t memory;   /* LEASH_LOADED: bytes that the engine takes in memory, about */
	uint32_t files;    /* how many there are */
	uint32_t reserved_too;
	struct definition_file definition;  /* LEASH_DEFINITION */
	struct sweep_shown sweep;           /* LEASH_SWEEP */
	struct quarantine_shown quarantine; /* LEASH_HELD */
};

/* ---- gate <-> loader ---- */
enum nursery_kind {
	NURSERY_WORKER = 1,  /* to the gate; fd: socket of a worker that passed its canary; id: its pid */
	NURSERY_HASHER,      /* to the gate; fd: socket of the hasher; id: its pid */
	NURSERY_DEFINITIONS, /* to the gate: definitions, signatures (0 = none); every worker that follows has them */
	NURSERY_KILL,        /* to the loader: id: pid of a worker or hasher, SIGKILL it and replace it */
	NURSERY_RETIRE,      /* to the gate: id: pid of a worker of older definitions, which ends by itself when it is
				idle: that is no loss */
	NURSERY_KINDS
};
/* Who is asked about each file. Bits. */
enum judgement {
	LEVEL_SIGNATURES = 1, /* libclamav's */
	LEVEL_HEURISTICS = 2, /* libclamav's */
	LEVEL_CONTENT = 4,    /* our own rule: deny-types */
	LEVEL_CLAMD = 8,      /* another daemon's signatures, in place of our own */
};
#define LEVELS 4 /* how many bits */
struct nursery_frame {
	uint32_t version;
	uint32_t kind;
	int32_t id;
	uint32_t levels;      /* NURSERY_DEFINITIONS: enum judgement, of whoever judges with them */
	uint64_t definitions; /* identity of the loaded set: equal only for equal files; 0 = none */
	uint64_t signatures;
};

/* ---- gate <-> worker. The fd of the request is the file, O_RDONLY; its offset is anything. ---- */
enum framing { FRAMING_NONE = 0, FRAMING_POSTFIX_QUEUE, FRAMINGS };
/* A finding in one message of a file of many, as it stands in `detail`: its number from 1, and where it begins (in an
 * mbox: its From line). */
#define MESSAGE_AT "in stored message %u, at byte %llu"

struct scan_request {
	uint32_t version;
	uint32_t framing; /* enum framing: what is to be taken off before scanning */
	uint64_t case_id; /* comes back in the reply */
};
#define SCAN_NAMES 8
struct scan_reply {
	uint32_t version;
	uint32_t last; /* 1: this worker ends after this reply (finding, message of the engine, 50 cases) */
	uint64_t case_id;
	struct verdict verdict;
	char detail[160];     /* for explain: which limit, which type, the engine's message; printable ASCII */
	char queue_id[32];    /* [A-Za-z0-9] from the topmost Received line with an id, or empty */
	char message_id[256]; /* printable ASCII without space, or empty */
	/* INFECTED: every name that was found, so that one of them can be allowed (allowed.h). 0 names: not said. */
	uint8_t name_count;
	uint8_t names_more; /* 1: there were more than that */
	uint8_t rest;       /* enum verdict_reason: what would be unscanned were there no name; REASON_NONE: clean */
	uint8_t unused[5];
	uint8_t name_heuristics[SCAN_NAMES];    /* 1 << enum heuristic, or 0: a signature */
	char names[SCAN_NAMES][SIGNATURE_SIZE]; /* printable ASCII, zero-terminated */
};

struct hash_request {
	uint32_t version;
	uint32_t reserved;
	uint64_t case_id;
};
struct hash_reply {
	uint32_t version;
	uint32_t ok; /* 1: digest is of all bytes; 0: could not read */
	uint64_t case_id;
	uint8_t digest[32]; /* SHA-256 */
};

/* ---- gate <-> recorder. fd of the request: O_PATH ---- */
struct explain_request {
	uint32_t version;
	uint32_t reserved;
	uint64_t id;
};
enum explain_state {
	EXPLAIN_OUTSIDE = 0,
	EXPLAIN_KNOWN,
	EXPLAIN_UNKNOWN,
	EXPLAIN_JUDGING,
	EXPLAIN_UNHELD,
	EXPLAIN_STATES
};
enum explain_origin {
	EXPLAIN_ORIGIN_ANY = 0, /* origin = any: every file there is an attachment */
	EXPLAIN_ORIGIN_MAIL,    /* origin = mail, and mail software wrote it */
	EXPLAIN_ORIGIN_OTHER,   /* origin = mail, and it did not: no attachment */
	EXPLAIN_ORIGIN_UNKNOWN, /* origin = mail, and nobody can say */
	EXPLAIN_ORIGINS
};
struct explain_reply {
	uint32_t version;
	uint32_t state; /* enum explain_state; UNKNOWN: an open would wait for a scan; UNHELD: never held (store, mode,
			   control file, empty) */
	uint64_t id;
	uint32_t answer; /* enum answer: what an open would get now; NONE where a scan decides */
	uint32_t watch;  /* index in the policy; UINT32_MAX: outside */
	struct verdict verdict;
	uint64_t judged_ns; /* CLOCK_REALTIME when the verdict was made, 0: never */
	char watch_path[1024];
	char policy[320]; /* "file:line" of the line that decides */
	char detail[160];
	/* Not filled in (exec_policy is empty): an exec gets what an open gets. */
	uint32_t exec_answer; /* enum answer: what an exec would get now; NONE where a scan decides */
	uint8_t origin;       /* enum explain_origin */
	uint8_t levels;       /* enum judgement: who was asked for this verdict; 0: not known */
	uint8_t reserved[2];
	char exec_policy[320]; /* "file:line" of the line that decides of an exec */
	uint32_t allowed;      /* the entry of the allow list that lets it go; 0: none */
	uint32_t unused;
};

/* ---- tool <-> keeper ---- */
enum keeper_verb { KEEPER_STATUS = 1, KEEPER_RELOAD, KEEPER_SELFTEST, KEEPER_VERBS };
struct keeper_request {
	uint32_t version;
	uint32_t verb;
};
struct keeper_reply {
	uint32_t version;
	uint32_t verb;
	int32_t result; /* 0, or 2: text says why (reload, selftest). Selftest: its results are in the status page */
	uint32_t more;  /* 1: another reply follows (one per complaint) */
	char text[LEASH_TEXT];
	/* KEEPER_STATUS: the descriptor is the status page, read-only */
};

/* ---- tool <-> recorder ---- */
enum recorder_verb { RECORDER_BLOCKED = 1, RECORDER_FOLLOW, RECORDER_WATCH, RECORDER_EXPLAIN, RECORDER_VERBS };
struct recorder_request {
	uint32_t version;
	uint32_t verb;
	int64_t since_ns; /* CLOCK_REALTIME, 0: all */
	uint32_t uid;     /* UINT32_MAX: any */
	uint32_t reason;  /* 0 any; 1000 = infected (by a signature), 1001 = exec-never, 1002 = heuristic, else
			     enum verdict_reason */
	char path[4096];  /* this path, or below it; empty: any. Zero-terminated bytes */
			  /* RECORDER_EXPLAIN: the descriptor is the file, O_PATH */
};
#define RECORDER_REASON_INFECTED 1000
#define RECORDER_REASON_EXEC_NEVER 1001
#define RECORDER_REASON_HEURISTIC 1002

enum row_kind { ROW_RECORD = 1, ROW_GAP, ROW_EXPLAIN, ROW_END, ROW_KINDS };
struct row_frame {
	uint32_t version;
	uint32_t kind;   /* enum row_kind; ROW_GAP: count records were lost at time_ns; ROW_END: no more (blocked) */
	int64_t time_ns; /* CLOCK_REALTIME of the first */
	uint64_t count;
	uint64_t wait_ns; /* the longest of them */
	uint32_t access;  /* enum access_kind */
	uint32_t answer;  /* enum answer; DENY with would != 0: would-deny */
	uint32_t would;
	uint32_t pid;
	uint32_t uid;   /* UINT32_MAX: not known */
	uint32_t phase; /* enum record_phase, record.h */
	struct verdict verdict;
	uint32_t path_size; /* bytes in path, which may hold any byte but zero */
	uint32_t exe_size;
	char user[64];
	char watch[1024];
	char policy[320];
	char queue_id[32];
	char message_id[256];
	char detail[160];
	char exe[1024];
	char path[8192];
	struct explain_reply explain; /* ROW_EXPLAIN */
};

#endif
