/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When the daily sweep is due, and how long a sweep will still take. No clock is read here: times are parameters, in
 * seconds of CLOCK_REALTIME unless said otherwise.
 */
#ifndef MAILWARD_SCHEDULE_H
#define MAILWARD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_DAY 86400
#define SCHEDULE_LATE                                                                                                  \
	3600 /* one that was missed by more than this (the host was off) is caught up soon after a start */
#define SCHEDULE_CATCH_UP 60
#define SCHEDULE_SPREAD 3600 /* the default's time is spread over this, so that many hosts don't begin at once */

/* The time zone: when, on the local calendar's day that many days after the one of `around`, is that minute? A minute
 * that a change to summer time leaves out is the next one that there is; of one that comes twice it is the first. */
typedef int64_t (*schedule_local)(void *owner, int64_t around, int days, unsigned minute);

struct schedule {
	unsigned minute; /* of the day, local time */
	unsigned spread; /* seconds after it */
	int64_t known_s; /* since when there is a schedule: nothing before it was missed */
	int64_t last_s;  /* the last one's begin or end, whichever is later; 0: there was none */
	int64_t start_s; /* this daemon's start */
	schedule_local local;
	void *owner;
};

/* When the next one is to begin: in the past or now means at once. */
int64_t schedule_next(const struct schedule *schedule, int64_t now);

/* How far a sweep is. Bytes and files are counted both, because small files cost by their number and large ones by
 * their size. */
struct sweep_pace {
	uint64_t files, files_all; /* done; of how many */
	uint64_t bytes, bytes_all;
	uint64_t begun_files, begun_bytes; /* done already when this run of it began */
	uint64_t elapsed_ns;               /* of this run */
};
/* In thousandths, 0 to 1000; 1000 only where all is done. */
unsigned sweep_done(const struct sweep_pace *pace);
/* Seconds that are left; UINT64_MAX: it can't be told yet. */
uint64_t sweep_left_s(const struct sweep_pace *pace);

#endif
