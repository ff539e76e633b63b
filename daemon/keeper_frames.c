// SPDX-License-Identifier: GPL-2.0-only
/* What the other processes say to the keeper. Each may say some things only; a wrong frame costs it its life. */
#include "keeper_parts.h"

#include <inttypes.h>
#include <stdio.h>

#include "log.h"

#define LOADER_LOADING_SILENCE (60 * SECOND_NS)
#define LINES_A_SECOND 20

static void part_says(struct part *part, const char *text)
{
	if (part->lines++ < LINES_A_SECOND)
		log_line("%s: %s", part->name, text);
}

void part_next_second(struct part *part)
{
	if (part->lines > LINES_A_SECOND)
		log_line("%s: %" PRIu32 " more lines within a second are left out", part->name,
			 part->lines - LINES_A_SECOND);
	part->lines = 0;
}

static bool gate_frame(struct part *part, const struct leash_frame *frame)
{
	switch ((enum leash_kind)frame->kind) {
	case LEASH_BEAT:
		part->restart.limit_ns = GATE_SILENCE_NS;
		restart_beat(&part->restart, now_ns());
		restart_succeeded(&part->restart);
		part->ready = true;
		part_show(part, PROCESS_RUNNING);
		return true;
	case LEASH_READY:
		part->ready = true;
		return true;
	case LEASH_IN_FORCE:
		policies_in_force(part->keeper, frame);
		return true;
	case LEASH_PEER:
		if (frame->value == PEER_LOADER)
			part_kill(&part->keeper->parts[PART_LOADER], "sent the gate what is no frame");
		return true;
	case LEASH_MISSING:
		part->keeper->policies.roots_wanted = part->keeper->policies.roots_changed = true;
		return true;
	default:
		return false;
	}
}

static void loader_loaded(struct part *part, const struct leash_frame *frame)
{
	struct keeper_part *shown = &part->keeper->page->keeper;

	part->restart.limit_ns = LOADER_SILENCE_NS;
	part->loading = false;
	if (frame->value)
		part->careful = false;
	shown->definitions_signatures = frame->value;
	shown->definitions_time_ns = frame->time_ns;
	shown->definitions_built_ns = frame->built_ns;
	shown->definitions_since_ns = frame->since_ns;
	shown->definitions_bytes = frame->bytes;
	shown->definitions_memory = frame->memory;
	shown->definitions_files = frame->files;
	snprintf(shown->definitions_version, sizeof(shown->definitions_version), "%.*s",
		 (int)sizeof(shown->definitions_version) - 1, frame->text);
	__atomic_store_n(&shown->definitions_known, 1, __ATOMIC_RELEASE);
	if (frame->value)
		log_line("definitions: %" PRIu64 " signatures, %s", frame->value, frame->text);
	else
		log_line("no definitions (%s): every verdict is unscanned (no-definitions)", frame->text);
	if (!frame->value)
		restart_succeeded(&part->restart);
	part_show(part, PROCESS_RUNNING);
}

/* NONE: the newest ones are in use again. */
static void loader_refused(struct keeper_part *shown, const struct leash_frame *frame)
{
	if (!shown->definitions_refused)
		shown->definitions_refused_ns = wall_ns();
	snprintf(shown->definitions_refused_why, sizeof(shown->definitions_refused_why), "%.*s",
		 (int)sizeof(shown->definitions_refused_why) - 1, frame->text);
	shown->definitions_refused = frame->value < DEFINITIONS_REFUSALS ? (uint32_t)frame->value : DEFINITIONS_BROKEN;
}

static bool loader_frame(struct part *part, const struct leash_frame *frame)
{
	restart_beat(&part->restart, now_ns());
	if (part->restart.limit_ns == FIRST_SILENCE_NS)
		part->restart.limit_ns = LOADER_SILENCE_NS;
	switch ((enum leash_kind)frame->kind) {
	case LEASH_BEAT:
	case LEASH_READY:
		return true;
	case LEASH_LOADING:
		part->restart.limit_ns = LOADER_LOADING_SILENCE;
		part->loading = true;
		part_show(part, PROCESS_LOADING);
		return true;
	case LEASH_LOADED:
		loader_loaded(part, frame);
		return true;
	case LEASH_SERVING:
		parts_serving(part->keeper, frame->value);
		if (frame->value)
			restart_succeeded(&part->restart);
		return true;
	case LEASH_DEFINITION:
		if (frame->value < DEFINITION_FILES_MAX)
			part->keeper->page->keeper.definition_files[frame->value] = frame->definition;
		return true;
	case LEASH_REFUSED:
		loader_refused(&part->keeper->page->keeper, frame);
		return true;
	case LEASH_CANARY:
		selftests_canary(part->keeper, frame->text);
		return true;
	default:
		return false;
	}
}

static bool recorder_frame(struct part *part, const struct leash_frame *frame)
{
	struct keeper *keeper = part->keeper;

	restart_beat(&part->restart, now_ns());
	switch ((enum leash_kind)frame->kind) {
	case LEASH_BEAT:
		return true;
	case LEASH_READY:
		part->ready = true;
		restart_succeeded(&part->restart);
		part_show(part, PROCESS_RUNNING);
		return true;
	case LEASH_BEFORE:
		/* A recorder that is started again counts this run's denials too. */
		if (!keeper->before_known) {
			for (int i = 0; i < 24; i++)
				keeper->page->keeper.blocked_before[i] = frame->counts[i];
			keeper->page->keeper.released_unjudged = frame->value;
			keeper->page->keeper.released_lately = frame->watch;
			keeper->before_known = true;
		}
		return true;
	default:
		return false;
	}
}

static bool steward_frame(struct part *part, const struct leash_frame *frame, int fd)
{
	char(*issues)[sizeof(part->keeper->page->keeper.steward_issues[0])] = part->keeper->page->keeper.steward_issues;

	restart_beat(&part->restart, now_ns());
	switch ((enum leash_kind)frame->kind) {
	case LEASH_BEAT:
		return true;
	case LEASH_READY:
		part->ready = true;
		restart_succeeded(&part->restart);
		part_show(part, PROCESS_RUNNING);
		return true;
	case LEASH_ALLOWED:
		return policies_allowed(part->keeper, fd);
	case LEASH_ISSUE:
		if (frame->value >= STEWARD_ISSUES)
			return false;
		snprintf(issues[frame->value], sizeof(issues[0]), "%.*s", (int)sizeof(issues[0]) - 1, frame->text);
		return true;
	case LEASH_SWEEP:
		if (frame->value >= SWEEP_KINDS || frame->sweep.state >= SWEEP_STATES)
			return false;
		part->keeper->page->keeper.sweeps[frame->value] = frame->sweep;
		return true;
	case LEASH_HELD:
		part->keeper->page->keeper.quarantine = frame->quarantine;
		return true;
	default:
		return false;
	}
}

bool part_frame(struct part *part, struct leash_frame *frame, int fd)
{
	if (frame->version != WIRE_VERSION)
		return false;
	frame->text[LEASH_TEXT - 1] = 0;
	if (frame->kind == LEASH_LOG) {
		part_says(part, frame->text);
		return true;
	}
	switch (part->role) {
	case PART_GATE:
		return gate_frame(part, frame);
	case PART_LOADER:
		return loader_frame(part, frame);
	case PART_RECORDER:
		return recorder_frame(part, frame);
	case PART_STEWARD:
		return steward_frame(part, frame, fd);
	case PART_READER:
		policies_reader_frame(part->keeper, frame, fd);
		return true;
	case PART_SELFTEST:
		return selftests_frame(part, frame);
	case PARTS:
		break;
	}
	return false;
}
