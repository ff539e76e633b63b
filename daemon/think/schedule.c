// SPDX-License-Identifier: GPL-2.0-only
#include "schedule.h"

/* The first time after `after` that the schedule names. */
static int64_t first_after(const struct schedule *schedule, int64_t after)
{
	int64_t next = INT64_MAX;

	/* A zone's day may be up to two away from what is counted here, and the spread may reach into the next one. */
	for (int day = -2; day <= 3; day++) {
		int64_t at = schedule->local(schedule->owner, after, day, schedule->minute) + schedule->spread;
		if (at > after && at < next)
			next = at;
	}
	return next == INT64_MAX ? after + SCHEDULE_DAY : next;
}

int64_t schedule_next(const struct schedule *schedule, int64_t now)
{
	int64_t after = schedule->last_s > schedule->known_s ? schedule->last_s : schedule->known_s, next;

	if (after > now) /* the clock went back: what lies ahead of it says nothing */
		after = now;
	next = first_after(schedule, after);
	if (next > now - SCHEDULE_LATE)
		return next;
	/* Missed. One is caught up, however many there were; but not in the minute in which the host starts. */
	if (now < schedule->start_s)
		return now;
	return schedule->start_s + SCHEDULE_CATCH_UP;
}

static unsigned part(uint64_t done, uint64_t all)
{
	if (all == 0 || done >= all)
		return 1000;
	return (unsigned)((double)done / (double)all * 1000);
}

unsigned sweep_done(const struct sweep_pace *pace)
{
	unsigned files = part(pace->files, pace->files_all), bytes = part(pace->bytes, pace->bytes_all);
	unsigned done = (files + bytes) / 2;

	return done >= 1000 && pace->files < pace->files_all ? 999 : done;
}

/* 0 to 1. */
static double share(uint64_t done, uint64_t all)
{
	return all == 0 || done >= all ? 1 : (double)done / (double)all;
}

uint64_t sweep_left_s(const struct sweep_pace *pace)
{
	double before = (share(pace->begun_files, pace->files_all) + share(pace->begun_bytes, pace->bytes_all)) / 2;
	double now = (share(pace->files, pace->files_all) + share(pace->bytes, pace->bytes_all)) / 2;
	double left;

	if (pace->files >= pace->files_all)
		return 0;
	if (pace->elapsed_ns < 1000000000u || now <= before)
		return UINT64_MAX;
	left = (1 - now) / (now - before) * (double)pace->elapsed_ns / 1e9;
	return left > 1e9 ? UINT64_MAX : (uint64_t)left + 1;
}
