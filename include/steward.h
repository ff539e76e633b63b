/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the steward hears and says: the gate (struct steward_request, struct steward_reply; one socket, handed out by
 * the keeper) and the tool (struct steward_ask, struct steward_row; RUNTIME/steward.sock). As with all frames: one
 * struct in each direction, at most one descriptor, checked as hostile by who receives. Times are CLOCK_REALTIME, ns.
 */
#ifndef MAILWARD_STEWARD_H
#define MAILWARD_STEWARD_H

#include "allowed.h"
#include "attachment.h"
#include "sweeping.h"
#include "verdict.h"
#include "wire.h"

#define STEWARD_SOCKET "steward.sock"
#define QUARANTINE_FOLDER ".mailward-quarantine" /* in the root of a mount; 0700, root */

/* ---- gate -> steward ---- */
enum steward_request_kind {
	STEWARD_QUARANTINE = 1, /* fd: the file. It is to be moved away; somebody may wait for it */
	STEWARD_EMPTY,          /* fd: the file, in a postfix queue: a copy is kept, the file truncated */
	STEWARD_ANOTHER_NAME,   /* fd: the file, of which a name was moved before: it was found under another one */
	STEWARD_FINDING,        /* the finding of a STEWARD_SCAN, by its case_id; result: 0 or -errno */
	STEWARD_COPY,           /* as STEWARD_EMPTY, and it stays as it is: the kernel side keeps it shut */
	STEWARD_FOUND, /* fd: a file that is not moved away, though something was found; result: 1: reported only */
	STEWARD_REQUESTS
};

struct steward_request {
	uint32_t version;             /* WIRE_VERSION */
	uint32_t kind;                /* enum steward_request_kind */
	uint64_t case_id;             /* comes back in the reply */
	uint32_t watch;               /* index in the policy in force */
	int32_t result;               /* STEWARD_FINDING */
	struct generation generation; /* what was judged */
	struct verdict verdict;
	uint64_t definitions; /* identity of those it was judged with */
	uint64_t judged_ns;
	uint32_t has_digest;
	uint32_t which;     /* enum policy_case that decided */
	uint8_t digest[32]; /* SHA-256, where has_digest */
	char policy[320];   /* "file:line" that decided */
	char detail[160];   /* as in struct scan_reply, these three */
	char queue_id[32];
	char message_id[256];
	uint32_t action;   /* STEWARD_FINDING: enum sweep_action */
	uint32_t allowed;  /* the entry of the allow list that lets it go, infected or not; 0: none */
	uint32_t delivery; /* STEWARD_QUARANTINE: enum steward_delivery */
	uint32_t queued;   /* STEWARD_EMPTY, STEWARD_COPY: Postfix was going on with it when the verdict came */
};

/* Its delivery may still be going on: the agent reads it back, or gives it to its next recipient as another link. Taken
 * away under it, what is left of the delivery is deferred (Dovecot's lmtp: "451 Message was expunged"). */
enum steward_delivery {
	DELIVERY_OVER = 0, /* a reader waits for it */
	DELIVERY_PERHAPS,  /* nobody waits: the reply may come when it is moved */
	DELIVERY_WAITS,    /* the agent itself waits for the reply */
	DELIVERIES
};

/* ---- steward -> gate ---- */
enum steward_reply_kind {
	STEWARD_DONE = 1, /* to a STEWARD_QUARANTINE, STEWARD_EMPTY or STEWARD_ANOTHER_NAME, by its case_id */
	STEWARD_SCAN,     /* fd: a file to be judged with this rank; a STEWARD_FINDING with the same case_id follows */
	STEWARD_PLACE,    /* fd: a folder of the quarantine, O_PATH: what lies in it is not to be asked about */
	STEWARD_REPLIES
};

#define STEWARD_SCAN_ANEW 256u /* also where its verdict is known */

struct steward_reply {
	uint32_t version;
	uint32_t kind; /* enum steward_reply_kind */
	uint64_t case_id;
	int32_t result; /* 0, or -errno: nothing was moved and nothing lost */
	uint32_t moved; /* names that were taken away so far; STEWARD_PLACE: 0: those told before count no more */
	uint32_t links; /* names that the file had */
	uint32_t rank;  /* STEWARD_SCAN: enum rank of queue.h, and STEWARD_SCAN_ANEW */
	char id[32];    /* of the quarantined object, [A-Za-z0-9_-]+; empty where result is not 0 */
};

/* ---- tool -> steward; one question on a connection ---- */
enum steward_verb {
	STEWARD_LIST = 1,     /* of the quarantine */
	STEWARD_SHOW,         /* id: one object, then a row for each of its names */
	STEWARD_RESTORE,      /* id */
	STEWARD_RELEASE,      /* id: restore, and allow that content */
	STEWARD_DELETE,       /* id: for good */
	STEWARD_ALLOW_ADD,    /* number: enum allowed_kind; name or digest; until_ns, 0: for good; text: the reason */
	STEWARD_ALLOW_LIST,   /* rows ALLOWED */
	STEWARD_ALLOW_REMOVE, /* number: the entry */
	STEWARD_KEEP,         /* fd: one message out of a file of many, whose path it is; flags: its number; name: the
				 signature;	 text: its Message-ID. The last row's text: the id under which it is kept */
	STEWARD_SWEEP_PATH,   /* fd: a file or folder, O_PATH, of path: to be swept by the STEWARD_SWEEP of this id */
	STEWARD_SWEEP,        /* id; flags: enum steward_sweep_flag. Rows SWEPT and PROGRESS as they come; the last one
				 has sweep. It ends with the connection, and can be gone on with later */
	STEWARD_VERBS
};

enum steward_sweep_flag {
	STEWARD_SWEEP_ALL = 1, /* these three as enum sweep_flag (sweep_state.h) */
	STEWARD_SWEEP_QUARANTINE = 2,
	STEWARD_SWEEP_MOUNTS = 4,
	STEWARD_SWEEP_RESUME = 8, /* go on with the one that was interrupted; no paths, no other flags */
	STEWARD_SWEEP_FLAGS = 15
};

struct steward_ask {
	uint32_t version;
	uint32_t verb;               /* enum steward_verb */
	char id[32];                 /* of the object; zero-terminated */
	uint64_t since_ns, until_ns; /* for verbs that take a time */
	uint32_t flags;              /* of the verb */
	uint32_t path_size;          /* bytes in path */
	char name[SIGNATURE_SIZE];   /* a signature, for verbs that take one; zero-terminated */
	uint8_t digest[32];
	char text[256]; /* a reason, for verbs that take one; zero-terminated */
	char path[4096];
	uint64_t number; /* for verbs that take one */
};

/* ---- steward -> tool; rows until one with more = 0 ---- */
enum steward_row_kind {
	STEWARD_ROW_END = 1,  /* no more: result and text say how it ended */
	STEWARD_ROW_ITEM,     /* item */
	STEWARD_ROW_NAME,     /* path: one of its names; number: enum quarantine_name_state */
	STEWARD_ROW_ALLOWED,  /* allowed */
	STEWARD_ROW_SWEPT,    /* path: something found; item: verdict, size, which, watch, policy, detail, id where it
				 was moved; number: enum sweep_action; text: what was done about it */
	STEWARD_ROW_PROGRESS, /* sweep, pace */
	STEWARD_ROW_KINDS
};
enum quarantine_state {
	QUARANTINED = 1,
	QUARANTINE_INCOMPLETE, /* it has names that were not found yet */
	QUARANTINE_STATES
};
#define QUARANTINE_STATE_NAMES                                                                                         \
	{                                                                                                              \
		"", "complete", "names-missing"                                                                        \
	}

struct quarantine_item {
	char id[32];
	uint64_t time_ns; /* when it was moved */
	uint64_t size;    /* bytes */
	uint32_t uid, gid, mode;
	uint32_t links; /* names that the file had when it was moved */
	uint32_t moved; /* of these, those that were moved */
	uint32_t state; /* enum quarantine_state */
	uint32_t has_digest;
	uint32_t which; /* enum policy_case */
	uint8_t digest[32];
	struct verdict verdict;
	uint64_t definitions;
	char watch[1024];
	char policy[320];
	char detail[160];
	char queue_id[32];
	char message_id[256];
};

struct steward_row {
	uint32_t version;
	uint32_t kind;  /* enum steward_row_kind */
	uint32_t more;  /* 0: the last one */
	int32_t result; /* of the last one: 0, or -errno and text */
	uint64_t number;
	uint32_t path_size;
	uint32_t reserved;
	char text[512]; /* a sentence; zero-terminated, may hold bytes of a hostile name */
	struct quarantine_item item;
	char path[4096];
	struct allowed_record allowed;
	struct sweep_shown sweep;
	uint64_t files_all, bytes_all;     /* PROGRESS: of how many; 0: not counted yet */
	uint64_t begun_files, begun_bytes; /* PROGRESS: done already when this run of it began */
	uint64_t elapsed_ns;               /* PROGRESS, END: of this run */
	uint32_t counting;                 /* PROGRESS: 1: files_all and bytes_all still grow */
	uint32_t throttled;                /* PROGRESS: 1: somebody else's scans go first just now */
};

#endif
