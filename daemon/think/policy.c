// SPDX-License-Identifier: GPL-2.0-only
#include "policy.h"

#include <stdio.h>
#include <string.h>

#define DEADLINE_MIN_NS 100000000ull
#define DEADLINE_MAX_NS 60000000000ull

/* ---- is it sound? The table comes out of shared memory, so nothing in it is taken on trust. ---- */

/* A printable, terminated string of at least one character. */
static bool text_is_sound(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	if (length == 0 || length == size)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

/* Absolute, and no component that is empty, "." or "..", so that paths can be compared as bytes. */
static bool path_is_sound(const char *path, size_t size)
{
	if (!text_is_sound(path, size) || path[0] != '/')
		return false;
	if (path[1] == 0)
		return true;
	for (const char *part = path + 1;; part += strcspn(part, "/") + 1) {
		size_t length = strcspn(part, "/");
		if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (part[length] == 0)
			return true;
	}
}

static bool place_is_sound(const struct policy *policy, struct policy_place place)
{
	return place.file < policy->file_count && place.line > 0;
}

static bool scanner_is_sound(const struct scanner_settings *scanner)
{
	return scanner->max_file_size > 0 && scanner->max_scan_size > 0 && scanner->max_files > 0 &&
	       scanner->max_depth > 0 && scanner->scan_time_ms > 0 && scanner->workers > 0 &&
	       scanner->engine < SCAN_ENGINES && scanner->clamd_socket[CLAMD_PATH_SIZE - 1] == 0 &&
	       (scanner->engine != ENGINE_CLAMD || scanner->clamd_socket[0] == '/') &&
	       scanner->deny_types < 1u << DENY_TYPES;
}

static bool watch_is_sound(const struct policy *policy, const struct policy_watch *watch)
{
	if (!path_is_sound(watch->path, sizeof(watch->path)) || !place_is_sound(policy, watch->place))
		return false;
	if (watch->store >= STORES || watch->mode >= MODES || watch->ignore_marks > 1)
		return false;
	if (watch->origin_mail > 1 ||
	    (watch->origin_mail && (policy->mail_software_count == 0 || !place_is_sound(policy, watch->origin_place))))
		return false;
	if (watch->recheck >= RECHECKS || (watch->recheck && !place_is_sound(policy, watch->recheck_place)))
		return false;
	if (watch->exec_never > 1 ||
	    (watch->exec_never && (!store_may_hold(watch->store) || !place_is_sound(policy, watch->exec_place))))
		return false;
	if (watch->deadline_ns < DEADLINE_MIN_NS || watch->deadline_ns > DEADLINE_MAX_NS)
		return false;
	for (int i = 0; i < POLICY_CASES; i++) {
		const struct policy_action *action = &watch->actions[i];
		if ((action->answer != ANSWER_ALLOW && action->answer != ANSWER_DENY) || action->is_default > 1 ||
		    action->quarantine > (action->answer == ANSWER_DENY) ||
		    action->report > (action->answer == ANSWER_ALLOW) || !place_is_sound(policy, action->place))
			return false;
	}
	return true;
}

static bool mail_software_is_sound(const struct policy *policy, const struct policy_mail_software *software)
{
	if (!text_is_sound(software->name, sizeof(software->name)) || software->root_count == 0 ||
	    software->root_count > MAIL_ROOTS_MAX || !place_is_sound(policy, software->place))
		return false;
	for (uint32_t i = 0; i < software->root_count; i++)
		if (!path_is_sound(software->roots[i], sizeof(software->roots[i])))
			return false;
	return true;
}

static bool schedule_is_sound(const struct policy *policy)
{
	const struct policy_schedule *schedule = &policy->schedule;

	if (schedule->sweep >= SCHEDULE_SWEEPS || schedule->minute >= 24 * 60 ||
	    schedule->path_count > SCHEDULE_PATHS_MAX ||
	    (schedule->place.line && !place_is_sound(policy, schedule->place)))
		return false;
	for (uint32_t i = 0; i < schedule->path_count; i++)
		if (schedule->paths[i][0] != '/' || !text_is_sound(schedule->paths[i], sizeof(schedule->paths[i])))
			return false;
	return true;
}

static bool notify_is_sound(const struct policy_notify *notify)
{
	if (notify->on > 1 || notify->owner > 1 || !memchr(notify->postmaster, 0, sizeof(notify->postmaster)) ||
	    !memchr(notify->command, 0, sizeof(notify->command)))
		return false;
	return !notify->on || (notify->every_s > 0 && notify->command[0] == '/' && notify->postmaster[0] != 0);
}

bool policy_is_sound(const struct policy *policy)
{
	if (policy->magic != POLICY_MAGIC || policy->size != sizeof(*policy) || policy->file_count == 0 ||
	    policy->file_count > POLICY_FILES_MAX || policy->watch_count > WATCHES_MAX ||
	    policy->mail_software_count > MAIL_SOFTWARE_MAX || policy->allow_root_filesystem > 1 ||
	    policy->release_on_stop > 1 || policy->max_definitions_age_s == 0 || !scanner_is_sound(&policy->scanner) ||
	    !notify_is_sound(&policy->notify))
		return false;
	for (uint32_t i = 0; i < policy->file_count; i++)
		if (!text_is_sound(policy->files[i], sizeof(policy->files[i])))
			return false;
	for (uint32_t i = 0; i < policy->watch_count; i++) {
		if (!watch_is_sound(policy, &policy->watches[i]))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(policy->watches[i].path, policy->watches[j].path) == 0)
				return false;
	}
	for (uint32_t i = 0; i < policy->mail_software_count; i++)
		if (!mail_software_is_sound(policy, &policy->mail_software[i]))
			return false;
	return schedule_is_sound(policy);
}

/* ---- which watch? ---- */

/* Length of a watch's path where it holds this path, 0: it does not. "/" holds everything, with length 1. */
static size_t path_holds(const char *folder, const char *path)
{
	size_t length = strlen(folder);

	if (length == 1)
		return path[0] == '/' ? 1 : 0;
	if (strncmp(folder, path, length) != 0 || (path[length] != '/' && path[length] != 0))
		return 0;
	return length;
}

int policy_match(const struct policy *policy, const char *path)
{
	size_t longest = 0;
	int best = -1;

	for (uint32_t i = 0; i < policy->watch_count; i++) {
		size_t length = path_holds(policy->watches[i].path, path);
		if (length > longest) {
			longest = length;
			best = (int)i;
		}
	}
	return best;
}

/* How strict a watch is, as one number: enforcing above observing above off, then who is guarded against, then what it
 * denies. */
static unsigned watch_strictness(const struct policy_watch *watch)
{
	unsigned strictness = watch->mode == MODE_OFF ? 0 : 200;

	if (watch->mode == MODE_ENFORCE && store_may_hold(watch->store))
		strictness += 1000;
	if (!watch->origin_mail)
		strictness += 80;
	if (watch->exec_never)
		strictness += 2;
	for (int i = 0; i < POLICY_CASES; i++)
		if (watch->actions[i].answer == ANSWER_DENY)
			strictness += i == CASE_INFECTED ? 50 : 1;
	return strictness;
}

int policy_strictest(const struct policy *policy, uint64_t candidates)
{
	unsigned highest = 0;
	int best = -1;

	for (uint32_t i = 0; i < policy->watch_count; i++) {
		if (!(candidates >> i & 1))
			continue;
		unsigned strictness = watch_strictness(&policy->watches[i]);
		if (best < 0 || strictness > highest) {
			highest = strictness;
			best = (int)i;
		}
	}
	return best;
}

/* ---- which answer? ---- */

static enum policy_case case_of_reason(uint8_t reason)
{
	switch ((enum verdict_reason)reason) {
	case REASON_TIMEOUT:
		return CASE_TIMEOUT;
	case REASON_TOO_LARGE:
	case REASON_TOO_DEEP:
		return CASE_LIMIT;
	case REASON_ENCRYPTED:
		return CASE_ENCRYPTED;
	case REASON_NONE:
	case REASON_UNSUPPORTED:
	case REASON_IO_ERROR:
	case REASON_ENGINE_ERROR:
	case REASON_CRASHED:
	case REASON_NO_DEFINITIONS:
	case REASON_BUSY:
	case REASON_EXEC_NEVER:
	case REASONS:
		return CASE_ERROR;
	}
	return CASE_ERROR;
}

enum policy_case policy_case_of(const struct verdict *verdict)
{
	switch ((enum verdict_kind)verdict->kind) {
	case VERDICT_INFECTED:
		return CASE_INFECTED;
	case VERDICT_UNSCANNED:
		return case_of_reason(verdict->reason);
	case VERDICT_NONE:
	case VERDICT_CLEAN:
	case VERDICT_KINDS:
		return CASE_ERROR;
	}
	return CASE_ERROR;
}

static int action_strictness(const struct policy_action *action)
{
	return action->quarantine ? 3 : action->answer == ANSWER_DENY ? 2 : action->report ? 1 : 0;
}

/* The case that counts in this watch. */
static enum policy_case strictest_case(const struct policy_watch *watch, const struct verdict *verdict)
{
	int strictest = -1;
	enum policy_case found = CASE_ERROR, each;

	if (verdict->kind != VERDICT_INFECTED || verdict->heuristics == 0)
		return policy_case_of(verdict);
	for (int i = HEURISTICS; i-- > 0;) {
		each = (enum policy_case)(CASE_MACRO + i);
		if (!(verdict->heuristics >> i & 1) || action_strictness(&watch->actions[each]) <= strictest)
			continue;
		found = each;
		strictest = action_strictness(&watch->actions[each]);
	}
	each = case_of_reason(verdict->reason);
	if (verdict->reason != REASON_NONE && action_strictness(&watch->actions[each]) > strictest)
		found = each;
	return found;
}

void policy_decide(const struct policy_watch *watch, const struct verdict *verdict, struct policy_decision *out)
{
	enum policy_case which = strictest_case(watch, verdict);
	const struct policy_action *action = &watch->actions[which];
	bool held = watch->mode == MODE_ENFORCE && store_may_hold(watch->store);

	*out = (struct policy_decision){.answer = ANSWER_ALLOW, .would = !held, .place = watch->place, .which = which};
	if (verdict->reason == REASON_EXEC_NEVER) {
		out->place = watch->exec_place;
		out->answer = ANSWER_DENY;
		return;
	}
	if (verdict->kind == VERDICT_CLEAN || watch->mode == MODE_OFF)
		return;
	out->place = action->place;
	out->answer = action->answer;
	out->quarantine = held && action->quarantine;
	out->empty = watch->mode == MODE_ENFORCE && store_may_empty(watch->store) && action->quarantine &&
		     verdict->kind == VERDICT_INFECTED;
	if (action->report || (which == CASE_INFECTED && action->answer == ANSWER_ALLOW)) {
		out->would = true; /* let go, and told */
		out->answer = ANSWER_DENY;
	}
}

enum answer policy_answer_down(const struct policy_watch *watch)
{
	if (watch->mode != MODE_ENFORCE || !store_may_hold(watch->store))
		return ANSWER_ALLOW;
	return watch->actions[CASE_DOWN].answer;
}

void policy_place_text(const struct policy *policy, struct policy_place place, char *out, size_t size)
{
	if (place.file < policy->file_count)
		snprintf(out, size, "%.*s:%u", POLICY_FILE_SIZE - 1, policy->files[place.file], place.line);
	else
		snprintf(out, size, "?:%u", place.line);
}
