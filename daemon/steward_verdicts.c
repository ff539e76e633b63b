// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verdicts that outlive the daemon: what the gate knows lies in memory that we can read too; it is written to the disk
 * every minute in which something was added, when the daemon ends, and at once when a verdict turned out to be void.
 */
#include <errno.h>
#include <string.h>

#include "memory.h"
#include "steward_state.h"
#include "verdict_file.h"
#include "wire.h"

#define SAVE_EVERY (60 * STEWARD_SECOND)

static struct {
	struct steward *steward;
	const struct memory *memory; /* NULL: nothing is kept */
	uint64_t changes, withdrawals;
	uint64_t saved_ns; /* 0: never */
	uint32_t at;
	bool failed; /* was said */
} verdicts;

void verdicts_open(struct steward *steward)
{
	verdicts.steward = steward;
}

static bool next(void *owner, struct kept_verdict *kept)
{
	(void)owner;
	return memory_kept_next(verdicts.memory, &verdicts.at, kept);
}

static void alive(void *owner)
{
	steward_alive(owner);
}

static void save(uint64_t now)
{
	uint64_t changes = memory_changes(verdicts.memory), withdrawals = memory_withdrawals(verdicts.memory);
	int result;

	if (verdicts.saved_ns && withdrawals != verdicts.withdrawals)
		verdict_file_remove(FD_STATE_DIR); /* whatever becomes of the new one */
	verdicts.at = 0;
	verdicts.saved_ns = now;
	verdicts.changes = changes;
	verdicts.withdrawals = withdrawals;
	result = verdict_file_save(FD_STATE_DIR, next, alive, verdicts.steward);
	if (result < 0 && !verdicts.failed)
		steward_log("verdicts cannot be kept for the time after a restart: %s", strerrordesc_np(-result));
	verdicts.failed = result < 0;
}

/* The gate makes it what it is, at its first start. */
static bool is_there(void)
{
	if (!verdicts.memory)
		verdicts.memory = memory_view(FD_VERDICTS);
	return verdicts.memory != NULL;
}

void verdicts_turn(uint64_t now)
{
	if (!is_there())
		return;
	if (!verdicts.saved_ns || memory_withdrawals(verdicts.memory) != verdicts.withdrawals ||
	    (memory_changes(verdicts.memory) != verdicts.changes && now - verdicts.saved_ns > SAVE_EVERY))
		save(now);
}

void verdicts_end(uint64_t now)
{
	if (is_there() && memory_changes(verdicts.memory) != verdicts.changes)
		save(now);
}
