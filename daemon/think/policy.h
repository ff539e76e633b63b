/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy as a finished table: fixed size, no pointers, so that it can lie in a sealed memfd and be mapped by the
 * gate. Made by policy_text.h; judged here. No system calls, no globals.
 */
#ifndef MAILWARD_POLICY_H
#define MAILWARD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared.h"
#include "store.h"
#include "verdict.h"
#include "wire.h"

#define POLICY_MAGIC 0x4d57504f4c303031ULL
#define POLICY_FILES_MAX 32
#define POLICY_FILE_SIZE 256
#define POLICY_PATH_SIZE 4096
#define MAIL_SOFTWARE_MAX 16
#define MAIL_ROOTS_MAX 16

enum watch_mode { MODE_OFF = 0, MODE_OBSERVE, MODE_ENFORCE, MODES };
#define MODE_NAMES                                                                                                     \
	{                                                                                                              \
		"off", "observe", "enforce"                                                                            \
	}

/* What new definitions mean for what was clean with the old ones. */
enum recheck {
	RECHECK_ON_OPEN = 0, /* unknown again: the next open has it judged anew */
	RECHECK_BACKGROUND,  /* the same, and it is judged anew before somebody opens it */
	RECHECK_NEVER,       /* it stays clean, as long as the file is unchanged in content and name */
	RECHECKS
};
#define RECHECK_NAMES                                                                                                  \
	{                                                                                                              \
		"on-open", "background", "never"                                                                       \
	}

/* Which line says so. file: index in policy.files; line: from 1. A default is said by the line of its watch. */
struct policy_place {
	uint16_t file;
	uint16_t reserved;
	uint32_t line;
};

struct policy_action {
	uint8_t answer; /* enum answer: `report` is ANSWER_ALLOW, `quarantine` ANSWER_DENY */
	uint8_t is_default;
	uint8_t quarantine; /* moved away first, then denied */
	uint8_t report;     /* let go, and told as what would be denied */
	uint8_t reserved[4];
	struct policy_place place;
};

/* From CASE_MACRO on one for each enum heuristic, in its order. */
enum policy_case {
	CASE_INFECTED = 0,
	CASE_TIMEOUT,
	CASE_LIMIT,
	CASE_ENCRYPTED,
	CASE_ERROR,
	CASE_DOWN,
	CASE_MACRO,
	CASE_BROKEN,
	CASE_PHISHING,
	CASE_UNWANTED,
	CASE_OTHER,
	CASE_TYPE,
	POLICY_CASES
};
#define CASE_NAMES                                                                                                     \
	{                                                                                                              \
		"infected", "timeout", "limit", "encrypted", "error", "down", "macro", "broken", "phishing",           \
			"unwanted", "other", "type"                                                                    \
	}

struct policy_watch {
	char path[POLICY_PATH_SIZE]; /* absolute, no trailing slash, no "." or ".." */
	struct policy_place place;
	uint8_t store;        /* enum store */
	uint8_t mode;         /* enum watch_mode */
	uint8_t ignore_marks; /* marks = cached */
	uint8_t origin_mail;  /* origin = mail: only what mail software wrote is an attachment here */
	uint8_t exec_never;   /* exec = never: attachments are not executed, whatever the verdict */
	uint8_t recheck;      /* enum recheck */
	uint8_t reserved[2];
	struct policy_place exec_place; /* the line that says so, or that of the watch */
	uint64_t deadline_ns;
	struct policy_action actions[POLICY_CASES];
	struct policy_place origin_place;  /* as exec_place */
	struct policy_place recheck_place; /* the same */
};

struct policy_mail_software {
	char name[64];
	char roots[MAIL_ROOTS_MAX][1024];
	uint32_t root_count;
	struct policy_place place;
};

/* The sweep that the daemon begins by itself, once a day. */
enum schedule_sweep {
	SCHEDULE_DEFAULT = 0, /* nothing said: 03:00, later by up to an hour, which is this host's own */
	SCHEDULE_AT,          /* minute */
	SCHEDULE_NEVER,
	SCHEDULE_SWEEPS
};
#define SCHEDULE_DEFAULT_MINUTE 180
#define SCHEDULE_PATHS_MAX 16
struct policy_schedule {
	uint8_t sweep; /* enum schedule_sweep */
	uint8_t reserved;
	uint16_t minute;           /* of the day, local time */
	uint32_t path_count;       /* besides the watches */
	struct policy_place place; /* line 0: there is no such block */
	char paths[SCHEDULE_PATHS_MAX][1024];
};

/* Who is told, in a digest; all zero without the block notify { }. */
struct policy_notify {
	uint8_t on;
	uint8_t owner; /* the owner of a mailbox too, where that is a user of the system */
	uint8_t reserved[6];
	uint64_t every_s;
	char postmaster[256]; /* an address or a local name */
	char command[1024];   /* takes the mail: COMMAND -oi -f <> -- RECIPIENT */
};

/* How much the quarantine holds; the oldest goes first. */
struct policy_quarantine {
	uint64_t max_age_ns, max_size; /* ns, bytes */
	struct policy_place place;     /* line 0: not said */
};

struct policy {
	uint64_t magic;
	uint64_t number; /* set by the keeper: 1, 2, ... with each policy that was taken */
	uint32_t size;   /* sizeof(struct policy) */
	uint32_t file_count, watch_count, mail_software_count;
	uint8_t allow_root_filesystem;
	uint8_t release_on_stop; /* on-stop = release: SIGTERM detaches the kernel side; else (hold, the default) it
				    stays and on-down answers until `mailwardd --release` */
	uint8_t reserved[6];
	struct scanner_settings scanner; /* worker_uid is the keeper's to fill in */
	char files[POLICY_FILES_MAX][POLICY_FILE_SIZE];
	struct policy_watch watches[WATCHES_MAX];
	struct policy_mail_software mail_software[MAIL_SOFTWARE_MAX];
	struct policy_place file_size_place; /* who says max-file-size; line 0: nobody, it is the default */
	struct policy_quarantine quarantine;
	uint64_t max_definitions_age_s; /* older ones are an issue of status */
	struct policy_schedule schedule;
	struct policy_notify notify;
};

/* Is this memory a policy that can be used without further checks (magic, size, every count, enum and string)? */
bool policy_is_sound(const struct policy *policy);

/* The watch that is answerable for this absolute path: the one with the longest path that is the path itself or a
 * folder above it. -1: none. Watches that are off count too (they switch off a part of a larger watch). */
int policy_match(const struct policy *policy, const char *path);

/* The watch whose answers are strictest: for a file that is inside something, nobody can say what. candidates: a bit
 * for each watch (bit i of candidates[i / 64]). -1: no candidate. */
int policy_strictest(const struct policy *policy, uint64_t candidates);

/* What a watch does about a verdict (or about an execution, REASON_EXEC_NEVER). */
struct policy_decision {
	enum answer answer;
	bool would; /* it only would be: the store may not hold, the watch does not enforce, or it is to be told alone
		     */
	bool quarantine; /* the file is to be moved away before the answer (DENY) is given; never where `would` */
	bool empty;      /* goes with `would`: nobody is denied, but the message is to be taken out of its store, a copy
			    being      kept: store_may_empty() */
	struct policy_place place; /* the line that says so */
	enum policy_case which;    /* whose action it is; nothing where the answer rests on none (clean, exec, off) */
};
/* Of several (heuristics, and what was not looked at besides) the strictest action counts: quarantine, deny, report,
 * allow. */
void policy_decide(const struct policy_watch *watch, const struct verdict *verdict, struct policy_decision *out);
/* The answer while no gate runs. */
enum answer policy_answer_down(const struct policy_watch *watch);

/* "file:line" into out. */
void policy_place_text(const struct policy *policy, struct policy_place place, char *out, size_t size);

/* Of a verdict without heuristics. */
enum policy_case policy_case_of(const struct verdict *verdict);

#endif
