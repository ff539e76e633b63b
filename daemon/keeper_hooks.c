// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel side as the keeper sees it: taken at start, handed to the gate, left or taken back at the end. Which mode
 * there is can change by a start alone.
 */
#include "keeper_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

static bool is_full(const struct keeper *keeper)
{
	return keeper->hooks.mode == ATTACH_FULL;
}

/* We and all that we start: inherited by fork, kept across exec. Before there is any child. */
static void label_ourselves(const struct keeper *keeper)
{
	const struct hook_label own = {.flags = HOOK_LABEL_OWN};
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), error;

	error = pidfd < 0 ? -1 : attach_label(&keeper->hooks, pidfd, &own);
	if (error)
		log_line("the kernel side can't be told who we are: %s", strerror(-error));
	if (pidfd >= 0)
		close(pidfd);
}

static void show(const struct keeper *keeper)
{
	const struct attached *hooks = &keeper->hooks;
	struct keeper_part *shown = &keeper->page->keeper;

	shown->guard_mode = is_full(keeper) ? GUARD_FULL : GUARD_REDUCED;
	shown->labels = hooks->mode != ATTACH_NONE;
	snprintf(shown->guard_why, sizeof(shown->guard_why), "%s", is_full(keeper) ? "" : hooks->why);
	snprintf(shown->guard_remedy, sizeof(shown->guard_remedy), "%s", is_full(keeper) ? "" : hooks->remedy);
}

void hooks_say(const struct keeper *keeper)
{
	const struct attached *hooks = &keeper->hooks;
	uint32_t count = 0;

	for (uint32_t i = 0; i < hooks->hook_count; i++)
		count += hooks->hooks[i].state == HOOK_ATTACHED;
	if (is_full(keeper))
		log_line("full mode: %" PRIu32 " programs attached to the kernel%s", count,
			 hooks->reused ? ", which remembers what an earlier run has found out" : "");
	else
		log_line("reduced mode: %s%s%s", hooks->why, hooks->remedy[0] ? "; " : "", hooks->remedy);
}

void hooks_take(struct keeper *keeper)
{
	int error = attach_run(&keeper->hooks, true);

	if (error) {
		keeper->hooks.mode = ATTACH_NONE;
		snprintf(keeper->hooks.why, sizeof(keeper->hooks.why), "the kernel side can't be looked at: %s",
			 strerror(-error));
	}
	if (keeper->hooks.mode != ATTACH_NONE)
		label_ourselves(keeper);
	show(keeper);
}

void hooks_hand_over(const struct keeper *keeper, struct child_plan *plan)
{
	for (int i = 0; i < HOOK_MAPS; i++)
		plan->fds[FD_HOOKS + i] = keeper->hooks.maps[i];
}

bool hooks_hand_over_labels(const struct keeper *keeper, struct child_plan *plan)
{
	plan->fds[FD_HOOKS + HOOK_LABELS] = keeper->hooks.maps[HOOK_LABELS];
	return keeper->hooks.maps[HOOK_LABELS] >= 0;
}

/* What an earlier version has left attached is no longer needed as soon as the new gate answers. */
void hooks_tick(struct keeper *keeper)
{
	if (keeper->hooks.others && keeper->policies.current->valid &&
	    __atomic_load_n(&keeper->page->gate.marks_stand, __ATOMIC_ACQUIRE)) {
		attach_settle(&keeper->hooks);
		log_line("what an earlier version had left in the kernel is detached");
	}
}

/* ---- the end ---- */

/* Everybody else has ended. on-stop says what a stop on purpose means; a start that came to nothing leaves no more in
 * the kernel than it found there. */
void hooks_end(struct keeper *keeper)
{
	const struct policy_set *current = keeper->policies.current;
	bool release = current && current->valid ? keeper->exit_code == 0 && current->release_on_stop
						 : !keeper->hooks.reused && !keeper->hooks.others;

	if (keeper->hooks.mode == ATTACH_NONE)
		return;
	if (release) {
		attach_detach(&keeper->hooks);
		if (is_full(keeper) && current && current->valid)
			log_line("the kernel side is detached (on-stop = release): nothing is guarded from now on");
	} else if (is_full(keeper)) {
		log_line("the kernel side stays: what is not known to be clean is answered by on-down from now on, "
			 "until "
			 "mailwardd starts again or `mailwardd --release` detaches it");
	}
}
