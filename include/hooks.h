/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs in the kernel (bpf/) and the daemon share in full mode: the maps, pinned below HOOKS_DIR, and what
 * lies in them. Each map has one writer (said below); labels have two, see there. Included by BPF programs too: no
 * function, no pointer, fixed width, explicit padding.
 *
 *   generations  inode storage       which content a file has now, and where it lies     written by the kernel side
 *   verdicts     inode storage       what was decided about one generation               written by the gate, by
 * descriptor labels       task storage        what a process is to the guard                      kernel side; the
 * daemon at its start origins      LRU hash            who wrote it, outlives the inode in the cache        written by
 * the kernel side leavers      LRU hash            labels of processes that may have ended              written by the
 * kernel side folders      hash                directories that watches consist of                 written by the gate
 *   systems      hash                file systems that hold a watch                      written by the gate
 *   programs     hash                mail software                                       written by the gate
 *   orders       array[1], mmapable  the policy in force, the heartbeat                  written by the gate
 *   state        array[1], mmapable  counters, the death of a gate                       written by the kernel side
 *   refusals     ring buffer         what the kernel refused by itself                   kernel side; the gate takes
 * out
 *
 * An answer in `verdicts` counts only while its generation is the file's. It is written before the access is answered.
 * Inode storage goes with the inode from the cache: no entry in a watched tree means unknown, never clean.
 */
#ifndef MAILWARD_HOOKS_H
#define MAILWARD_HOOKS_H

#include <stdint.h>

#include "verdict.h"

/* Counts up with every change to this file or to what the programs make of it: pinned objects of another version are
 * replaced, not used. */
#define HOOKS_VERSION 2
#define HOOKS_DIR "/sys/fs/bpf/mailward"
#define HOOKS_WATCHES 64 /* WATCHES_MAX */

enum hook_map {
	HOOK_GENERATIONS = 0,
	HOOK_VERDICTS,
	HOOK_LABELS,
	HOOK_ORIGINS,
	HOOK_LEAVERS,
	HOOK_FOLDERS,
	HOOK_SYSTEMS,
	HOOK_PROGRAMS,
	HOOK_ORDERS,
	HOOK_STATE,
	HOOK_REFUSALS,
	HOOK_MAPS
};
/* Names of the maps in the object and of their pins. */
#define HOOK_MAP_NAMES                                                                                                 \
	{                                                                                                              \
		"generations", "verdicts", "labels", "origins", "leavers", "folders", "systems", "programs", "orders", \
			"state", "refusals"                                                                            \
	}

/* ---- generations ---- */
#define HOOK_OUTSIDE (-1) /* of no watch */
#define HOOK_UNSURE (-2)  /* the walk did not end: inside, nobody can say of what; the strictest watch counts */
#define HOOK_ORIGIN_MAIL 1
struct hook_generation {
	uint64_t generation;  /* from state.next: no two contents of any file share one, evicted in between or not */
	uint64_t place_epoch; /* orders.epoch + state.moves when `watch` was found */
	int16_t watch;        /* index in orders.watches, HOOK_OUTSIDE, HOOK_UNSURE */
	uint8_t unheld;       /* a control file of its store: never refused but for exec */
	uint8_t origin;       /* HOOK_ORIGIN_MAIL: opened for writing by mail software */
	uint32_t reserved;
	uint64_t seal; /* of the name and folder that it was found by, and what was found: for the kernel side alone */
};

/* ---- verdicts ---- */
struct hook_verdict {
	uint64_t generation;
	uint64_t session;     /* 0: lasting. Else provisional (a writer exists, an overlay, a deadline that passed with
				 `allow`): counts only while orders.session is this one and its gate lives */
	uint64_t definitions; /* identity of those it was made with */
	uint64_t policy;      /* number of the policy that made the answer of it */
	uint64_t judged_ns;   /* CLOCK_REALTIME */
	uint64_t worker;      /* see memory_withdraw() */
	uint8_t answer;       /* enum answer; ANSWER_NONE: nothing decided, only origin is said */
	uint8_t origin;       /* HOOK_ORIGIN_MAIL: the mark on disk says so */
	uint16_t watch;
	uint32_t allowed; /* the entry of the allow list that it rests on; 0: none */
	struct verdict verdict;
};

/* ---- labels and leavers ---- */
#define HOOK_LABEL_MAIL 1 /* mail software, or started by it: inherited by fork, kept across exec. Duties only */
#define HOOK_LABEL_SERVICE                                                                                             \
	2                 /* runs a listed program's own image, started as the service: by root, or by a process that  \
			     had this. Gone with the exec of any other program. May read back what it writes */
#define HOOK_LABEL_OWN 4  /* the keeper and all it starts */
#define HOOK_LABEL_GATE 8 /* the gate: its exit is the gate's death. Set by itself */
struct hook_label {
	uint32_t flags;
	uint32_t software; /* bit i: mail software i of the policy */
};
/* leavers: key uint32_t, thread group id in the initial pid namespace. Value struct hook_label. For events of processes
 * that have ended since; a fork that gives the number again replaces or removes the entry. */

/* ---- origins, folders, systems, programs: by the kernel's numbers ---- */
struct hook_inode {
	uint64_t ino;
	uint32_t dev;        /* s_dev as in /proc/self/mountinfo: major << 20 | minor (not always st_dev: btrfs) */
	uint32_t generation; /* i_generation in origins; 0 in folders and programs */
};
struct hook_origin {
	uint8_t origin; /* HOOK_ORIGIN_MAIL */
	uint8_t reserved[7];
};
struct hook_folder {
	uint32_t watch;
	uint32_t reserved;
};
/* systems: key uint32_t dev, value uint32_t 1. programs: key struct hook_inode, value struct hook_label with .software.
 */

/* ---- orders ---- */
enum hook_refuses {
	HOOK_REFUSES_NOTHING = 0, /* mbox, mdbox */
	HOOK_REFUSES,             /* store_may_hold(): with EPERM */
	HOOK_REFUSES_AS_ABSENT,   /* store_may_empty(): what is infected, at an open, with ENOENT */
};
struct hook_watch {
	uint8_t mode;       /* enum watch_mode: only MODE_ENFORCE refuses */
	uint8_t store;      /* enum store: which names are control files */
	uint8_t may_refuse; /* enum hook_refuses */
	uint8_t down;       /* enum answer while no gate lives */
	uint8_t exec_never;
	uint8_t origin_mail; /* only what mail software wrote is an attachment */
	uint8_t reserved[2];
};
struct hook_orders {
	uint64_t session;      /* of the gate; 0: none has taken orders yet. Never the same twice on one boot */
	uint64_t heartbeat_ns; /* CLOCK_MONOTONIC; older than HOOK_STANDSTILL_NS: as good as dead */
	uint64_t epoch;        /* of folders and watches: what was found before is void */
	uint64_t policy;       /* number of the policy in force, with its allow list; 0: nothing is guarded yet */
	uint64_t definitions;
	uint32_t watch_count;
	uint32_t strictest;     /* index of the watch that counts for HOOK_UNSURE */
	uint32_t track_origins; /* 1: some watch has origin = mail */
	uint32_t lost_told;     /* of state.refusals_lost, modulo 2^32, how many are in the history as a gap */
	struct hook_watch watches[HOOKS_WATCHES];
};
#define HOOK_STANDSTILL_NS 2000000000ull

/* ---- state ---- */
struct hook_state {
	uint64_t next;          /* generation: the last one given */
	uint64_t moves;         /* folders that were renamed: places found before are void */
	uint64_t dead_session;  /* of the gate that has ended last */
	uint64_t refused;       /* accesses, by the kernel side alone */
	uint64_t refusals_lost; /* of these, for which there was no room in the ring buffer */
	uint64_t no_memory;     /* inode storage that could not be had: treated as unknown */
};

/* ---- refusals ---- */
enum hook_way { HOOK_WAY_OPEN = 0, HOOK_WAY_READ, HOOK_WAY_MAP, HOOK_WAY_PROTECT, HOOK_WAY_EXEC, HOOK_WAYS };
enum hook_why {
	HOOK_WHY_DENIED = 0, /* a current "deny": `verdict` says what it is */
	HOOK_WHY_UNKNOWN,    /* no current answer */
	HOOK_WHY_DOWN,       /* no current answer and no gate: on-down */
	HOOK_WHY_STACKED,    /* the same, through an overlay */
	HOOK_WHY_EXEC_NEVER,
	HOOK_WHYS
};
#define HOOK_PATH_SIZE 512
struct hook_refusal {
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC */
	uint64_t generation;
	uint64_t ino;
	uint32_t dev;
	uint32_t pid; /* thread group, initial pid namespace */
	uint32_t uid; /* effective, initial user namespace */
	int16_t watch;
	uint8_t way, why;
	struct verdict verdict;
	char comm[16];
	uint32_t path_size; /* bytes of path */
	uint32_t path_cut;  /* 1: folders between the watch and the first name are missing */
	/* Names from the file upwards to (not including) the watch's folder, each followed by a zero. */
	char path[HOOK_PATH_SIZE];
};

#endif
