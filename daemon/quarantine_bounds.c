// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much is kept, and how long. Nothing goes within a day, and nothing of which status has not said before that it
 * would:
 *
 *   by age    a day after it was first said at the earliest. So a clock that jumps ahead, or a host that was off for
 *             months, ends nothing at once
 *   by size   what needs more than a tenth of the whole makes nobody go, so that between the warning at nine tenths and
 *             the end of the oldest there is more than one file of one user
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

#define DAY_NS (86400 * STEWARD_SECOND)
#define BOUNDS_NS (60 * STEWARD_SECOND)

static void note_purged(const struct quarantine_entry *entry, const char *why)
{
	char line[256];
	int size = snprintf(line, sizeof(line),
			    "{\"time_ns\":%" PRIu64 ",\"id\":\"%s\",\"size\":%" PRIu64 ",\"why\":\"%s\"}\n", wall_ns(),
			    entry->id, entry->size, why);
	int fd = openat(FD_STATE_DIR, "purged.jsonl", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	steward_log("purged %s from the quarantine: %s", entry->id, why);
	if (fd < 0)
		return;
	if (write(fd, line, (size_t)size) == size)
		fsync(fd);
	close(fd);
}

static bool purge(struct steward *steward, struct quarantine_entry *entry, const char *why)
{
	struct quarantine_entry was = *entry;

	if (items_delete(steward, entry) < 0)
		return false;
	note_purged(&was, why);
	return true;
}

static uint64_t age_of(const struct quarantine_entry *entry, uint64_t wall)
{
	return wall > entry->time_ns ? wall - entry->time_ns : 0;
}

bool quarantine_makes_room(struct steward *steward, uint64_t size)
{
	struct quarantine *quarantine = steward->quarantine;
	uint64_t most = steward->policy->quarantine.max_size;

	while (quarantine->bytes + size > most) {
		if (quarantine->count == 0 || size > most / 10 || age_of(&quarantine->all[0], wall_ns()) < DAY_NS ||
		    !purge(steward, &quarantine->all[0], "max-size"))
			return false;
		steward_alive(steward);
	}
	return true;
}

/* ---- said before ---- */

/* So old that it is to be said: the last tenth of its time, a day at least. */
static uint64_t announced_from(const struct policy_quarantine *limits)
{
	uint64_t tenth = limits->max_age_ns / 10, before = tenth > DAY_NS ? tenth : DAY_NS;

	return limits->max_age_ns > before ? limits->max_age_ns - before : 0;
}

/* Since when it is said lies on the disk beside it, so that a restart does not begin anew. */
static void announce(struct steward *steward, struct quarantine_entry *entry, bool soon, uint64_t wall)
{
	int item, fd;

	if (soon ? entry->announced_ns && entry->announced_ns <= wall : !entry->announced_ns)
		return;
	item = items_open(steward->quarantine, entry);
	if (item < 0)
		return;
	unlinkat(item, ANNOUNCED, 0);
	fd = soon ? openat(item, ANNOUNCED, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
	entry->announced_ns = fd >= 0 ? wall : 0;
	if (fd >= 0)
		close(fd);
	close(item);
	steward_alive(steward);
}

/* Nine tenths of what is allowed, or of the time. */
void quarantine_warn(struct steward *steward)
{
	struct quarantine *quarantine = steward->quarantine;
	const struct policy_quarantine *limits = &steward->policy->quarantine;
	uint64_t most = limits->max_size, old = 0, from = announced_from(limits), wall = wall_ns();
	char text[256] = "";

	for (uint32_t i = 0; i < quarantine->count; i++) {
		bool soon = age_of(&quarantine->all[i], wall) > from;
		announce(steward, &quarantine->all[i], soon, wall);
		old += soon;
	}
	if (quarantine->bytes > most - most / 10)
		snprintf(text, sizeof(text),
			 "the quarantine holds %" PRIu64 "M of %" PRIu64
			 "M: its oldest objects are purged when it is full",
			 quarantine->bytes >> 20, most >> 20);
	else if (old)
		snprintf(text, sizeof(text),
			 "%" PRIu64 " objects of the quarantine reach max-age soon and are purged then, %s first", old,
			 quarantine->all[0].id);
	quarantine_say(quarantine->warning, sizeof(quarantine->warning), ISSUE_PURGE, text);
}

static bool is_due(const struct steward *steward, const struct quarantine_entry *entry, uint64_t wall)
{
	uint64_t age = age_of(entry, wall);

	return age > steward->policy->quarantine.max_age_ns && age > DAY_NS && entry->announced_ns &&
	       wall > entry->announced_ns && wall - entry->announced_ns > DAY_NS;
}

void quarantine_keep_bounds(struct steward *steward, uint64_t now)
{
	struct quarantine *quarantine = steward->quarantine;

	if (now < quarantine->bounds_ns)
		return;
	quarantine->bounds_ns = now + BOUNDS_NS;
	while (quarantine->count && is_due(steward, &quarantine->all[0], wall_ns()) &&
	       purge(steward, &quarantine->all[0], "max-age"))
		steward_alive(steward);
	quarantine_makes_room(steward, 0);
	quarantine_warn(steward);
}
