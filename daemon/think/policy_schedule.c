// SPDX-License-Identifier: GPL-2.0-only
#include "policy_schedule.h"

#include <string.h>

static bool two_digits(const char *text, unsigned *out)
{
	if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
		return false;
	*out = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
	return true;
}

bool policy_clock(const char *text, uint16_t *minute_out)
{
	unsigned hour, minute;

	if (strlen(text) != 5 || text[2] != ':' || !two_digits(text, &hour) || !two_digits(text + 3, &minute) ||
	    hour > 23 || minute > 59)
		return false;
	*minute_out = (uint16_t)(hour * 60 + minute);
	return true;
}

static void take_sweep(const struct policy_reading *at, struct policy_schedule *schedule, cfg_t *block)
{
	struct policy_word word;

	if (!policy_one_value(at, block, "sweep", &word))
		return;
	if (strcmp(word.text, "never") == 0) {
		schedule->sweep = SCHEDULE_NEVER;
		doubt(at, word.line,
		      "sweep = never: what is in the mailboxes and is not opened is never looked at again");
		return;
	}
	if (policy_clock(word.text, &schedule->minute))
		schedule->sweep = SCHEDULE_AT;
	else
		refuse(at, word.line,
		       "'%s' is no value for sweep: write a local time of 24 hours, as in sweep = \"03:00\", or never",
		       word.text);
}

static void take_paths(const struct policy_reading *at, struct policy_schedule *schedule, cfg_t *block)
{
	unsigned count = cfg_size(block, "paths");
	struct policy_word first = {0}, word;

	for (unsigned i = 0; i < count; i++) {
		word = policy_word_of(cfg_getnstr(block, "paths", i));
		if (i == 0)
			first = word;
		if (word.assignment != first.assignment) {
			refuse(at, word.line,
			       "'paths' is repeated (first in %s:%u): keep one list, paths = { \"/a\", \"/b\" }",
			       at->file, first.line);
			return;
		}
		if (i == SCHEDULE_PATHS_MAX) {
			refuse(at, word.line, "too many paths: %d is the limit; name a folder above them",
			       SCHEDULE_PATHS_MAX);
			return;
		}
		if (!policy_path(at, word, "of a sweep", schedule->paths[i], sizeof(schedule->paths[i])))
			return;
		schedule->path_count = i + 1;
	}
	if (count && schedule->sweep == SCHEDULE_NEVER)
		doubt(at, first.line, "paths of a sweep that is never made: remove them, or sweep = never");
}

void policy_take_schedule(const struct policy_reading *at, struct policy *policy, cfg_t *block)
{
	struct policy_word title = policy_word_of(cfg_title(block));
	struct policy_schedule *schedule = &policy->schedule;
	char first[POLICY_FILE_SIZE + 16];

	if (title.text[0])
		refuse(at, title.line, "schedule has no title: write schedule { ... }");
	if (schedule->place.line) {
		policy_place_text(policy, schedule->place, first, sizeof(first));
		refuse(at, title.line, "the block schedule is repeated (first in %s): make one block of the two",
		       first);
		return;
	}
	schedule->place = policy_place_at(at, title.line);
	take_sweep(at, schedule, block);
	take_paths(at, schedule, block);
}
