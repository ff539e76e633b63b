/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rooms of the steward, and what they share. One thread: whoever has long work does it in slices, from its
 * *_turn(), which is called in each turn of the loop and says whether there is more to do at once.
 *
 *   steward.c             the process: its start, its loop, the keeper's frames, the gate's, who asks it
 *   steward_clients.c     connections of the tool: one question each, rows as they find room
 *   steward_quarantine.c  what is moved away, kept, given back
 *   steward_recheck.c     after new definitions: what lies in the mailboxes is judged again
 *   steward_verdicts.c    what the gate knows, over a restart of the daemon
 *   steward_sweep.c       sweeps: files that are judged because of a plan, or because somebody asks for it
 *   steward_notify.c      who is told, in a digest by the local sendmail
 *   steward_files.c       its own small files
 *   steward_allow.c       the allow list: kept here, handed to the gate by way of the keeper
 *
 * A room gets three calls: NAME_open() at the start, NAME_policy() whenever another policy or other roots are in force
 * (also the first time: nothing is known of either before), NAME_turn().
 */
#ifndef MAILWARD_STEWARD_STATE_H
#define MAILWARD_STEWARD_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "loop.h"
#include "policy.h"
#include "shared.h"
#include "steward.h"

#define STEWARD_SECOND 1000000000ull

/* A directory that a watch consists of, as the gate has it. */
struct steward_root {
	int fd;         /* O_RDONLY directory; the steward's */
	uint32_t watch; /* index in the policy */
};

struct steward;

/* A connection of the tool. */
struct steward_client {
	struct loop_handler handler;
	struct steward *steward;
	struct steward_ask ask; /* checked: version, verb, terminated texts, path_size */
	int fd;                 /* what came with it, or -1; closed by steward_clients.c */
	uint32_t uid;           /* of who asks; UINT32_MAX: not known */
	bool used, asked, full;
	uint64_t quiet_since_ns;
	uint64_t position; /* the verb's: how far its rows have been sent. 0 at first */
	uint64_t begun_ns; /* CLOCK_MONOTONIC */
};

enum steward_next {
	STEWARD_NEXT_ROW,   /* row_out is to be sent; the last has more = 0 */
	STEWARD_NEXT_LATER, /* not yet: asked again in each turn */
};
/* A verb: asked again and again for its rows, each of which is sent before the next is asked for. row_out is all zero
 * but for the version. */
typedef enum steward_next (*steward_answer)(struct steward *steward, struct steward_client *client,
					    struct steward_row *row_out);

struct quarantine;   /* steward_quarantine.c */
struct recheck_pass; /* steward_recheck.c */

struct steward {
	struct loop loop;
	struct loop_handler leash, gate, signals;
	const struct status_page *page;
	uint64_t beat_ns;
	bool stopping;

	/* In force. policy NULL: none yet. */
	const struct policy *policy;
	uint32_t root_count;
	struct steward_root roots[ROOTS_MAX];
	/* On its way from the keeper. */
	const struct policy *staged_policy;
	uint32_t staged_root_count;
	struct steward_root staged_roots[ROOTS_MAX];

	struct quarantine *quarantine;
	struct recheck_pass *recheck;
};

/* ---- steward.c ---- */
__attribute__((format(printf, 1, 2))) void steward_log(const char *format, ...); /* one line, by way of the keeper */
/* What status is to say, by enum steward_issue; empty: it is over. */
__attribute__((format(printf, 2, 3))) void steward_issue(enum steward_issue issue, const char *format, ...);
/* A descriptor for the keeper (borrowed). 0 or -errno. */
int steward_give_keeper(enum leash_kind kind, int fd);
/* We are alive: call it between the steps of long work. */
void steward_alive(struct steward *steward);
/* A frame to the gate (fd borrowed, or -1). 0 or -errno; -ENOTCONN: there is no gate now. */
int steward_tell_gate(struct steward *steward, const struct steward_reply *reply, int fd);

/* ---- steward_clients.c ---- */
int steward_clients_open(struct steward *steward, int listener); /* 0 or -errno */
bool steward_clients_turn(struct steward *steward);
/* Fills the last row. text may be NULL. Returns STEWARD_NEXT_ROW. */
__attribute__((format(printf, 3, 4))) enum steward_next steward_end(struct steward_row *row, int result,
								    const char *format, ...);

/* ---- steward_recheck.c ---- */
#define STEWARD_RECHECK_ID (1ull << 63)    /* in the case_id of its STEWARD_SCANs; others leave that bit alone */
int recheck_open(struct steward *steward); /* 0 or -errno */
void recheck_policy(struct steward *steward);
bool recheck_turn(struct steward *steward, uint64_t now);
void recheck_gate(struct steward *steward); /* there is another gate, which was asked nothing */
/* A STEWARD_FINDING whose case_id is one of ours. */
void recheck_finding(struct steward *steward, const struct steward_request *finding);

/* ---- steward_verdicts.c ---- */
void verdicts_open(struct steward *steward);
void verdicts_turn(uint64_t now);
void verdicts_end(uint64_t now); /* the gate has ended before us */

/* ---- steward_quarantine.c ---- */
int quarantine_open(struct steward *steward); /* 0 or -errno */
void quarantine_policy(struct steward *steward);
bool quarantine_turn(struct steward *steward, uint64_t now);
/* A STEWARD_QUARANTINE or STEWARD_ANOTHER_NAME; fd is borrowed. Replies to the gate. */
void quarantine_take(struct steward *steward, const struct steward_request *request, int fd);
/* Tells the keeper how much it holds, where that has changed; once a second at most. */
void quarantine_tell_held(struct steward *steward, uint64_t now);
enum steward_next quarantine_list(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next quarantine_show(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next quarantine_restore(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next quarantine_release(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next quarantine_delete(struct steward *steward, struct steward_client *client, struct steward_row *row);

/* Moves a file away of which the name is known, wherever it lies: 0 and its id, or -errno: nothing has changed. -EXDEV:
 * there is no quarantine on its mount. */
int quarantine_take_named(struct steward *steward, const struct steward_request *request, int fd, const char *path,
			  char id_out[32]);
/* The gate has another process. */
void quarantine_gate(struct steward *steward);

/* ---- steward_sweep.c ---- */
int sweeps_open(struct steward *steward); /* 0 or -errno */
bool sweeps_turn(struct steward *steward, uint64_t now);
void sweeps_gate(struct steward *steward); /* there is another gate, which was asked nothing */
void sweeps_finding(struct steward *steward, const struct steward_request *finding);
void sweeps_end(struct steward *steward); /* their state is kept */
enum steward_next sweeps_path(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next sweeps_ask(struct steward *steward, struct steward_client *client, struct steward_row *row);

/* ---- steward_files.c ---- */
/* A whole file of STATE/steward into out. NULL: read, or there is none (*size_out 0); else why it is not to be used:
 * somebody else than root could have written it, it is too large, empty, or cannot be read. */
const char *steward_file_read(const char *name, void *out, size_t most, size_t *size_out);
/* Writes it anew, all or nothing; what lay there goes to `aside` where that is not NULL. 0 or -errno. */
int steward_file_write(const char *name, const void *bytes, size_t size, const char *aside);
int steward_file_append(int fd, const void *bytes, size_t size); /* and syncs. 0 or -errno */

/* ---- steward_stores.c ---- */
/* A STEWARD_EMPTY or STEWARD_COPY; fd is borrowed. Replies to the gate. */
void stores_empty(struct steward *steward, const struct steward_request *request, int fd);
enum steward_next stores_keep(struct steward *steward, struct steward_client *client, struct steward_row *row);

/* ---- steward_allow.c ---- */
int allow_open(struct steward *steward); /* 0 or -errno; a list that cannot be used is told and no error */
void allow_turn(struct steward *steward);
/* Allows this content until then (CLOCK_REALTIME; 0: for good), or finds the entry that does so already. reason: as in
 * struct allowed_record. 0 and *id_out, or -errno (with a sentence in why_out: at most 256 bytes) and nothing changed.
 * It counts as soon as allow_in_force() says so. */
int steward_allow_content(struct steward *steward, const uint8_t digest[32], uint64_t until_ns, const char *reason,
			  uint32_t uid, uint32_t *id_out, char why_out[256]);
/* Has the gate the list as it is now? */
bool allow_in_force(const struct steward *steward);
enum steward_next allow_add(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next allow_list(struct steward *steward, struct steward_client *client, struct steward_row *row);
enum steward_next allow_remove(struct steward *steward, struct steward_client *client, struct steward_row *row);

/* ---- steward_notify.c ---- */
/* Starts the mailer: before rights are dropped. */
void notify_start(void);
void notify_open(struct steward *steward);
void notify_turn(struct steward *steward, uint64_t now);
/* Waits 600 ms at most for a sendmail that runs: what it takes is not mailed again by the next steward. */
void notify_end(struct steward *steward, uint64_t now);
/* A STEWARD_FOUND; fd is borrowed. */
void notify_found(struct steward *steward, const struct steward_request *request, int fd);
/* This file was moved to the quarantine as id; path: the name it had. */
void notify_moved(struct steward *steward, const struct steward_request *request, const struct stat *file,
		  const char *id, const char *path);

#endif
