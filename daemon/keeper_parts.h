/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keeper's own rooms: keeper.c (its life), keeper_parts.c (the other processes), keeper_frames.c (what they say),
 * keeper_policy.c (policies on their way from the reader to the gate), keeper_hooks.c (the kernel side in full mode),
 * keeper_selftest.c (is what it guards refused?).
 * One thread; all of it lies in one static struct, so nothing is allocated.
 */
#ifndef MAILWARD_KEEPER_PARTS_H
#define MAILWARD_KEEPER_PARTS_H

#include "allowed.h"
#include "attach.h"
#include "callers.h"
#include "children.h"
#include "keeper.h"
#include "loop.h"
#include "places.h"
#include "policy.h"
#include "restart.h"
#include "shared.h"
#include "sweep.h"
#include "wire.h"

#define SECOND_NS 1000000000ull
#define POLICY_FRAMES_MAX (ROOTS_MAX + WATCHES_MAX + LASTING_MAX + MAIL_SOFTWARE_MAX * MAIL_ROOTS_MAX)
#define KEEPER_COMPLAINTS 32

enum part_role { PART_GATE, PART_LOADER, PART_RECORDER, PART_STEWARD, PART_READER, PART_SELFTEST, PARTS };
#define PARTS_LASTING PART_READER /* those before it are always there; the others come and go */

struct keeper;
struct part {
	struct keeper *keeper;
	enum part_role role;
	const char *name;
	struct process_entry *entry; /* NULL: not shown */
	struct child child;
	struct loop_handler leash;
	struct restart restart;
	uint64_t killed_ns; /* when it was sent SIGKILL, later by what it is forgiven; 0: it was not */
	uint32_t deaths;
	uint32_t lines; /* for the log, within this second */
	bool linked;    /* loader, recorder, steward: its socket to the gate has been handed out */
	bool ready;     /* recorder, steward: it serves; gate: its program is loaded */
	bool stopping;  /* it was told to end */
	bool heard;     /* it has sent a frame */
	bool loading;   /* loader: it is at it */
	bool careful;   /* loader: one ended while it loaded, and none has loaded anything since */
};

/* A policy with the directories of its watches, as the gate gets it. */
struct policy_set {
	bool valid;
	int policy_fd;
	uint64_t number; /* from 1 on, in this run */
	bool release_on_stop;
	uint64_t max_definitions_age_s;
	struct scanner_settings scanner;
	uint32_t count, without;    /* frames; those of them that say LEASH_WATCH_WITHOUT */
	int fds[POLICY_FRAMES_MAX]; /* -1: a frame without a descriptor */
	struct leash_frame frames[POLICY_FRAMES_MAX];
};

/* READ_LABELS: tells the kernel side which of the running processes are mail software, once the gate has named their
 * programs to it: those that start later are noticed by themselves. */
enum reader_purpose { READ_START, READ_RELOAD, READ_ROOTS, READ_LABELS };

struct policies {
	struct policy_set sets[2];
	struct policy_set *current;  /* in force; valid or not yet */
	struct policy_set *incoming; /* what the reader sends; then what the gate is offered */
	enum reader_purpose purpose;
	bool complete; /* the reader has sent all, and it could be used */
	bool offered;  /* the gate has still to say that `incoming` is in force */
	uint64_t offer_until_ns;
	bool delivering;    /* the gate has still to be sent a part of a set */
	uint32_t delivered; /* frames of it sent: the policy, count frames, the end */
	bool steward_waits; /* the same of the steward, which gets what is in force */
	uint32_t steward_has;
	int allowed_fd;            /* the allow list of the steward; -1: none yet */
	bool allowed_waits;        /* the gate has still to be sent it */
	uint64_t allowed_until_ns; /* the first gate waits for it until then */
	bool reload_wanted, roots_wanted, roots_changed, labels_wanted;
	uint64_t roots_next_ns; /* not before that */
	uint64_t round;         /* of reloads; the running one while one runs */
	bool reloading;
	uint32_t complaint_count;
	char complaints[KEEPER_COMPLAINTS][LEASH_TEXT];
	struct policy table;          /* where a policy is checked */
	struct allowed_table allowed; /* where an allow list is checked */
};

/* What one run has found, as in struct keeper_part. */
struct selftest_results {
	uint64_t policy;
	uint8_t canary[WATCHES_MAX], open[WATCHES_MAX], exec[WATCHES_MAX];
	char text[WATCHES_MAX][160];
	char why[160];
};

struct selftests {
	bool wanted;
	bool stale;                  /* what the running one finds does not count: something has changed meanwhile */
	bool complete;               /* the running one has told of every watch */
	uint64_t round;              /* the running one's, or the last one's number */
	uint64_t round_ended;        /* the last one whose results count; 0: none has yet */
	uint64_t stands_ns, next_ns; /* since when all stands; when the next may begin */
	char canary[LEASH_TEXT / 8]; /* the loader's, in hexadecimal; empty: none */
	struct selftest_results results;
};

enum stop_step { STOP_NOT = 0, STOP_GATE, STOP_OTHERS, STOP_KILLED };

struct keeper {
	const struct keeper_options *options;
	struct loop loop;
	struct loop_handler signals, mounts;
	struct callers callers;
	struct part parts[PARTS];
	struct policies policies;
	struct selftests selftests;
	struct attached hooks;
	struct sweep_count unreported; /* rows that the recorder has still to get */
	bool has_unreported;
	struct identity recorder_id, loader_id, worker_id;
	struct status_page *page;
	struct gate_notes *notes;
	int runtime, own_exe, scanner_exe, null_fd, proc, lock, error_fd;
	int verdicts_fd, verdicts_read_only_fd;
	int page_fd, page_read_only_fd, notes_fd, ring_fd, bell_fd;
	int permission_group, closed_group, moves_group;
	int keeper_listener, recorder_listener, steward_listener;
	int state_dir, steward_dir, loader_dir, definitions;
	unsigned nofile;
	uint64_t watchdog_ns, watchdog_next_ns, started_ns, turn_ns, second_ns, extended_ns;
	bool ready, before_known, sweep_again;
	enum stop_step stop;
	uint64_t stop_ns;
	int exit_code;
};

/* ---- keeper.c ---- */
/* Something makes going on useless: the line says why, everything ends, and the exit code is this. */
__attribute__((format(printf, 3, 4))) void keeper_fail(struct keeper *keeper, int code, const char *format, ...);

/* ---- keeper_parts.c ---- */
void parts_init(struct keeper *keeper);
/* Starts what is due, ends what stands still, hands out sockets. */
void parts_tick(struct keeper *keeper, uint64_t now);
/* After SIGCHLD: who has ended? */
void parts_reap(struct keeper *keeper);
bool part_runs(const struct part *part);
int part_start(struct part *part, const struct child_plan *plan, uint64_t limit_ns);
void part_kill(struct part *part, const char *why);
/* Sends a frame of this kind. 0 or -errno of frame_send(). */
int part_tell(struct part *part, enum leash_kind kind, uint64_t value, int fd);
void part_stop(struct part *part);
/* The loader gets other settings: it is ended in order and starts again. */
void parts_restart_loader(struct keeper *keeper);
/* So many workers have passed their canary and serve. */
void parts_serving(struct keeper *keeper, uint64_t count);
/* Plan of a child that gets no descriptors but its leash. */
struct child_plan part_plan(const struct keeper *keeper, int executable, const char *name);

/* How its state looks to the tool. */
void part_show(struct part *part, enum process_state state);

/* ---- keeper_frames.c ---- */
#define LOADER_SILENCE_NS (2 * SECOND_NS)
#define GATE_SILENCE_NS (1500 * SECOND_NS / 1000)
#define FIRST_SILENCE_NS (10 * SECOND_NS) /* until the first beat, before the keeper is ready */
/* Takes a frame. false: this part must not send it. fd (-1: none) becomes the reader's room's, else stays the caller's.
 */
bool part_frame(struct part *part, struct leash_frame *frame, int fd);
void part_next_second(struct part *part); /* its lines for the log count anew */

/* ---- keeper_policy.c ---- */
void policies_init(struct keeper *keeper);
/* Settings of the loader that is started now. */
struct scanner_settings policies_scanner(const struct policies *policies);
void policies_tick(struct keeper *keeper, uint64_t now);
uint64_t policies_reload(void *keeper); /* callers.h */
void policies_reader_frame(struct keeper *keeper, struct leash_frame *frame, int fd);
void policies_reader_ended(struct keeper *keeper, const char *how);
/* The gate: has been started, takes a policy, says it is in force. */
void policies_gate_started(struct keeper *keeper);
void policies_gate_ended(struct keeper *keeper);
void policies_deliver(struct keeper *keeper);
/* The steward has been started: it is sent what is in force. */
void policies_steward_started(struct keeper *keeper);
void policies_deliver_steward(struct keeper *keeper);
void policies_in_force(struct keeper *keeper, const struct leash_frame *frame);
/* The steward's allow list (fd is borrowed): for this gate, and every later one. false: it is none. */
bool policies_allowed(struct keeper *keeper, int fd);

/* ---- keeper_selftest.c ---- */
/* Another one is due. */
void selftests_want(struct keeper *keeper);
/* Something that a running one relies on has changed: what it finds does not count. */
void selftests_disturbed(struct keeper *keeper);
uint64_t selftests_request(void *keeper); /* callers.h */
/* The loader's canary; empty: it has none now. */
void selftests_canary(struct keeper *keeper, const char *text);
/* Does being ready wait for the first one still? */
bool selftests_awaited(const struct keeper *keeper, uint64_t now);
bool selftests_frame(struct part *part, const struct leash_frame *frame);
void selftests_ended(struct keeper *keeper, const char *how);
/* stands: everything does that a guard needs. */
void selftests_tick(struct keeper *keeper, uint64_t now, bool stands);

/* ---- keeper_hooks.c ---- */
/* Loads and attaches, or finds out why not. Before rights_keeper(). */
void hooks_take(struct keeper *keeper);
/* Which mode there is, and why: a line for the log. */
void hooks_say(const struct keeper *keeper);
/* Puts the maps into the plan of the gate; labels alone into that of the reader (false: there are none). */
void hooks_hand_over(const struct keeper *keeper, struct child_plan *plan);
bool hooks_hand_over_labels(const struct keeper *keeper, struct child_plan *plan);
void hooks_tick(struct keeper *keeper);
/* After all others have ended. */
void hooks_end(struct keeper *keeper);

#endif
