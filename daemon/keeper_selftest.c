// SPDX-License-Identifier: GPL-2.0-only
/*
 * When the guard is put to the proof: once all stands, after each policy that comes into force, whenever the loader has
 * another canary, and when somebody asks. What a run has found is thrown away where something it relied on has changed
 * meanwhile; it is run again then.
 */
#include "keeper_parts.h"

#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "log.h"

#define RUN_TIME (30 * SECOND_NS)      /* between two watches: five attempts of five seconds, and a slow disk */
#define CANARY_TIME (2 * SECOND_NS)    /* for a loader to name its canary, once all else stands */
#define READY_PATIENCE (3 * SECOND_NS) /* being ready waits so long for the first run */
#define DUE_TIME (10 * SECOND_NS)      /* longer is told as an issue */
#define AGAIN_PAUSE (500 * SECOND_NS / 1000)

void selftests_disturbed(struct keeper *keeper)
{
	if (part_runs(&keeper->parts[PART_SELFTEST]))
		keeper->selftests.wanted = keeper->selftests.stale = true;
}

void selftests_want(struct keeper *keeper)
{
	keeper->selftests.wanted = true;
	selftests_disturbed(keeper);
}

uint64_t selftests_request(void *owner)
{
	struct keeper *keeper = owner;

	keeper->selftests.wanted = true;
	/* A run that is under way may have looked at something before it was put right. */
	return keeper->selftests.round + 1;
}

void selftests_canary(struct keeper *keeper, const char *text)
{
	struct selftests *selftests = &keeper->selftests;

	if (strcmp(selftests->canary, text) == 0)
		return;
	snprintf(selftests->canary, sizeof(selftests->canary), "%.*s", (int)sizeof(selftests->canary) - 1, text);
	selftests_want(keeper);
}

bool selftests_awaited(const struct keeper *keeper, uint64_t now)
{
	const struct selftests *selftests = &keeper->selftests;

	return selftests->round_ended == 0 && (!selftests->stands_ns || now < selftests->stands_ns + READY_PATIENCE);
}

/* ---- results ---- */

static void answer_callers(struct keeper *keeper, int result, const char *text)
{
	struct keeper_reply reply = {.version = WIRE_VERSION, .verb = KEEPER_SELFTEST, .result = result};

	snprintf(reply.text, sizeof(reply.text), "%s", text);
	callers_answer(&keeper->callers, keeper->selftests.round, &reply, 1);
}

static void log_change(const struct keeper_part *shown, const struct selftest_results *results)
{
	if (strcmp(shown->canary_why, results->why) == 0)
		return;
	if (results->why[0])
		log_line("selftest: %s", results->why);
	else
		log_line("selftest: a canary is refused again in each watch that enforces");
}

/* Of the first that was not blocked, or could not be tried. */
static void results_why(struct selftest_results *results)
{
	static const enum canary worse[] = {CANARY_NOT_BLOCKED, CANARY_NOT_POSSIBLE};

	for (int w = 0; w < 2; w++)
		for (uint32_t i = 0; !results->why[0] && i < WATCHES_MAX; i++)
			if (results->canary[i] == worse[w])
				snprintf(results->why, sizeof(results->why), "watch %u: %.140s", i + 1,
					 results->text[i]);
}

static void results_show(struct keeper *keeper)
{
	struct keeper_part *shown = &keeper->page->keeper;
	const struct selftest_results *results = &keeper->selftests.results;

	log_change(shown, results);
	memcpy(shown->canary, results->canary, sizeof(shown->canary));
	memcpy(shown->canary_open, results->open, sizeof(shown->canary_open));
	memcpy(shown->canary_exec, results->exec, sizeof(shown->canary_exec));
	memcpy(shown->canary_text, results->text, sizeof(shown->canary_text));
	memcpy(shown->canary_why, results->why, sizeof(shown->canary_why));
	__atomic_store_n(&shown->canary_policy, results->policy, __ATOMIC_RELEASE);
	if (!keeper->selftests.wanted)
		__atomic_store_n(&shown->canary_due_ns, 0, __ATOMIC_RELEASE);
}

bool selftests_frame(struct part *part, const struct leash_frame *frame)
{
	struct selftest_results *results = &part->keeper->selftests.results;

	restart_beat(&part->restart, now_ns());
	if (frame->kind == LEASH_TESTED_ALL) {
		part->keeper->selftests.complete = true;
		return true;
	}
	if (frame->kind != LEASH_TESTED || frame->watch >= WATCHES_MAX || frame->value >= CANARIES ||
	    frame->counts[0] >= CANARIES || frame->counts[1] >= CANARIES)
		return false;
	results->canary[frame->watch] = (uint8_t)frame->value;
	results->open[frame->watch] = (uint8_t)frame->counts[0];
	results->exec[frame->watch] = (uint8_t)frame->counts[1];
	if (frame->counts[2]) {
		part->keeper->policies.roots_wanted = part->keeper->policies.roots_changed = true;
		part->keeper->selftests.wanted = true;
	}
	snprintf(results->text[frame->watch], sizeof(results->text[0]), "%.*s", (int)sizeof(results->text[0]) - 1,
		 frame->text);
	return true;
}

void selftests_ended(struct keeper *keeper, const char *how)
{
	struct selftests *selftests = &keeper->selftests;

	if (keeper->stop != STOP_NOT)
		return;
	selftests->next_ns = now_ns() + AGAIN_PAUSE;
	if (selftests->stale) /* who asked for it is answered by the next one */
		return;
	if (selftests->complete)
		results_why(&selftests->results);
	else
		snprintf(selftests->results.why, sizeof(selftests->results.why), "the selftest has ended (%s)", how);
	selftests->round_ended = selftests->round;
	results_show(keeper);
	answer_callers(keeper, selftests->complete ? 0 : 2, selftests->complete ? "" : selftests->results.why);
}

/* ---- runs ---- */

static void run(struct keeper *keeper)
{
	struct selftests *selftests = &keeper->selftests;
	const struct keeper_part *shown = &keeper->page->keeper;
	struct child_plan plan = part_plan(keeper, keeper->own_exe, "mailward-selftest");
	struct leash_frame orders = {.version = WIRE_VERSION, .kind = LEASH_CANARY};

	selftests->wanted = selftests->stale = selftests->complete = false;
	selftests->round++;
	memset(&selftests->results, 0, sizeof(selftests->results));
	selftests->results.policy = orders.value = keeper->policies.current->number;
	orders.counts[0] = shown->definitions_signatures != 0;
	snprintf(orders.text, sizeof(orders.text), "%s", selftests->canary);
	plan.fds[FD_POLICY] = keeper->policies.current->policy_fd;
	plan.fds[FD_PROC] = keeper->proc;
	hooks_hand_over_labels(keeper, &plan);
	if (part_start(&keeper->parts[PART_SELFTEST], &plan, RUN_TIME) < 0)
		selftests_ended(keeper, "could not be started");
	else if (frame_send(keeper->parts[PART_SELFTEST].child.leash, &orders, sizeof(orders), -1) < 0)
		part_kill(&keeper->parts[PART_SELFTEST], "takes no orders");
}

void selftests_tick(struct keeper *keeper, uint64_t now, bool stands)
{
	struct selftests *selftests = &keeper->selftests;
	uint64_t *due = &keeper->page->keeper.canary_due_ns;

	if (selftests->stale)
		part_stop(&keeper->parts[PART_SELFTEST]);
	if (keeper->stop != STOP_NOT || !stands || !selftests->wanted)
		return;
	if (!selftests->stands_ns)
		selftests->stands_ns = now;
	if (*due == 0)
		__atomic_store_n(due, now + DUE_TIME, __ATOMIC_RELEASE);
	if (part_runs(&keeper->parts[PART_SELFTEST]) || now < selftests->next_ns)
		return;
	/* Folders that were replaced are not guarded before the gate has taken them. */
	if (keeper->policies.offered || keeper->policies.roots_changed)
		return;
	if (keeper->page->keeper.definitions_signatures && !selftests->canary[0] &&
	    now < selftests->stands_ns + CANARY_TIME)
		return;
	run(keeper);
}
