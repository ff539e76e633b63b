/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a status page says about the daemon's health. No system calls but for the looks at /proc in
 * finding_process_state(); time as a parameter.
 */
#ifndef MAILWARD_FINDINGS_H
#define MAILWARD_FINDINGS_H

#include <stdbool.h>

#include <stddef.h>

#include "mail_limits.h"
#include "shared.h"

#define ISSUES_MAX 128
struct issue {
	const char *id;
	char text[1280];
	char remedy[240];
};

struct findings {
	bool ready; /* every mark stands, a worker serves or it is known that there are no definitions, and the first
		       selftest is over or overdue */
	int64_t definitions_age_s; /* -1: none */
	uint64_t uptime_s, blocked_24h;
	const char *states[PROCESSES_MAX]; /* of keeper.processes, in words */
	unsigned issue_count;
	struct issue issues[ISSUES_MAX];
	const char *note; /* no issue, but to be known; or NULL */
};

struct clocks {
	uint64_t wall_ns, monotonic_ns;
};

/* A copy of the page in which the gate's texts fit together. */
void status_copy(const struct status_page *page, struct status_page *copy_out);

/* "running", "stopped" (SIGSTOP, a debugger), "ended", or what the keeper says of it. */
const char *process_state_word(const struct process_entry *process);

/* What is known of a canary in this watch, for the policy in force. */
enum canary finding_canary(const struct status_page *page, uint32_t index);

/* states[] is filled by the caller. */
void findings_make(const struct status_page *page, struct clocks clocks, struct findings *findings);

/* What the mail software takes and the scanner would not, as issues behind those of findings_make(). */
void findings_limits(const struct status_page *page, const struct mail_limits *limits, struct findings *findings);
/* "1234 signatures", or, where they are clamd's, which does not say how many, "its signatures". */
void signatures_text(char *out, size_t size, uint64_t signatures);

/* How old the definitions in use are, in seconds: since a signed database of them was made, or, without one, since the
 * newest file was changed. -1: not known. */
int64_t definitions_age(const struct keeper_part *keeper, uint64_t wall_ns);
uint64_t definitions_max_age(const struct keeper_part *keeper); /* the policy's, in seconds */

/* Denials of the last 24 h: in this run by the gate's hours, before it by the keeper's. */
uint64_t blocked_in_a_day(const struct status_page *page, uint64_t wall_ns);

#endif
